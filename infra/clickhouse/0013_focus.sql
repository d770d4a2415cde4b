-- What Spendstream knows of cost, as rows of FOCUS. Why it is made like this: infra/decisions/0011-focus-rows.md.

-- What a FOCUS consumer sees of a charge: how it stood when its month ended (what was corrected until then is in it), and
-- of every later correction what it takes back (reversal) and what it says instead (restatement). They add up to what the
-- charge costs now; rows of a month that has ended never change.
create or replace view {database}.v_charge_states as
with r.known_at < toDateTime64(toStartOfMonth(r.ts) + interval 1 month, 6, 'UTC') as in_time
select
  c.org as org, c.event_id as event_id, c.ts as ts, c.team as team, c.project as project, c.environment as environment,
  c.cost_center as cost_center, c.service as service, c.feature as feature, c.user_id as user_id,
  c.api_key_id as api_key_id, c.provider as provider, c.model as model, c.operation as operation,
  c.category as category, c.region as region, c.tier as tier, c.call_status as call_status,
  c.owner_source as owner_source, c.cache_hit as cache_hit, c.requests as requests, c.input_tokens as input_tokens,
  c.input_uncached_tokens as input_uncached_tokens, c.input_cache_read_tokens as input_cache_read_tokens,
  c.input_cache_write_5m_tokens as input_cache_write_5m_tokens,
  c.input_cache_write_1h_tokens as input_cache_write_1h_tokens, c.output_text_tokens as output_text_tokens,
  c.output_reasoning_tokens as output_reasoning_tokens, c.input_audio_tokens as input_audio_tokens,
  c.output_audio_tokens as output_audio_tokens, c.input_image_tokens as input_image_tokens,
  state.1 as kind, state.2 as known_at, state.3 as status, state.4 as price_id, state.5 as cost_usd
from {database}.charges as c
left any join (
  select
    incarnation, partition, offset, item,
    maxIf(r.revision, in_time) as revision, sumIf(r.cost_usd, in_time) as added_usd,
    maxIf(r.known_at, in_time) as amended_at,
    argMaxIf(r.status_after, r.revision, in_time) as status, argMaxIf(r.price_id_after, r.revision, in_time) as price_id,
    groupArrayIf([
      ('reversal', r.known_at, toString(r.status_before), toString(r.price_id_before), r.cost_before_usd),
      ('restatement', r.known_at, toString(r.status_after), toString(r.price_id_after), r.cost_before_usd + r.cost_usd)
    ], not in_time) as later
  from {database}.corrections as r final
  group by incarnation, partition, offset, item
) as k on c.incarnation = k.incarnation and c.partition = k.partition and c.offset = k.offset and c.item = k.item
array join arrayPushFront(arrayFlatten(k.later), (
  'charge', if(k.revision = 0, c.rated_at, k.amended_at), toString(if(k.revision = 0, c.status, k.status)),
  toString(if(k.revision = 0, c.price_id, k.price_id)), c.cost_usd + k.added_usd
)) as state;

-- One row per state of a charge and token class. Parts of a charge add up to it to the pico-dollar: each class gets its
-- share of cost_usd, what is left over goes to the largest remainders, ties by class (domain.md, Money). A charge whose
-- card is unknown, or does not give its amount, is one row of class `all`. What a reversal takes back is negative.
create or replace view {database}.v_charge_classes as
with
  toDecimal128('0.000000000000000001', 18) as atto_usd,
  class > 0 as split,
  if(kind = 'reversal', -1, 1) as sign,
  toInt256(if(cache_hit, 0, ifNull(picos[class], 0))) * 1000000 as attos
select
  org, event_id, ts, team, project, environment, cost_center, service, feature, user_id, api_key_id, provider, model,
  operation, category, region, tier, status, call_status, owner_source, cache_hit, price_id, kind, known_at,
  if(split, names[class], 'all') as token_class,
  if(split and class < 10, 'Tokens', 'Requests') as unit,
  sign * if(split, toInt64(quantities[class]), greatest(requests, 1)) as quantity,
  if(split, above[context], 0) as context_above,
  if(split, toDecimal128(intDiv(attos * list_numerator * 2 + list_denominator, list_denominator * 2), 0) * atto_usd,
    toDecimal128(charged_usd, 18) / greatest(requests, 1)) as list_unit_usd,
  if(split, toDecimal128(intDiv(attos * contracted_numerator * 2 + contracted_denominator,
    contracted_denominator * 2), 0) * atto_usd,
    toDecimal128(charged_usd, 18) / greatest(requests, 1)) as contracted_unit_usd,
  sign * if(split, toDecimal128(billed[class], 0) * toDecimal128('0.000000000001', 12), charged_usd) as cost_usd
from (
  with
    toInt256(cost_usd * 1000000000000) as cost,
    intDiv(input_tokens + greatest(requests, 1) - 1, greatest(requests, 1)) as input_per_request,
    arrayMap((n, pico) -> n * toInt256(if(cache_hit, 0, ifNull(pico, 0))), quantities, picos) as weights,
    arrayReduce('sum', weights) as whole,
    if(whole = 0, toInt256(1), whole) as divisor,
    whole * billed_numerator as scaled,
    intDiv(scaled, greatest(billed_denominator, 1)) as floored,
    2 * (scaled - floored * billed_denominator) - billed_denominator as over_half,
    floored + if(over_half > 0 or (over_half = 0 and floored % 2 = 1), 1, 0) as amount,
    arrayMap(weight -> intDiv(cost * weight, divisor), weights) as parts,
    arrayMap((weight, part) -> cost * weight - part * whole, weights, parts) as remainders,
    arraySort(i -> (-remainders[i], i), range(1, 11)) as by_remainder
  select
    charges.org as org, event_id, ts, team, project, environment, cost_center, service, feature, user_id, api_key_id,
    provider, model, operation, category, region, charges.tier as tier, status, call_status, owner_source, cache_hit,
    charges.price_id as price_id, kind, known_at, requests, cost_usd as charged_usd, above,
    if(list_denominator = 0, 1, list_denominator) as list_denominator, list_numerator,
    if(contracted_denominator = 0, 1, contracted_denominator) as contracted_denominator, contracted_numerator,
    ['input_uncached', 'input_cache_read', 'input_cache_write_5m', 'input_cache_write_1h', 'output_text',
     'output_reasoning', 'input_audio', 'output_audio', 'input_image', 'request'] as names,
    arrayMap(n -> toInt256(n), [input_uncached_tokens, input_cache_read_tokens, input_cache_write_5m_tokens,
      input_cache_write_1h_tokens, output_text_tokens, output_reasoning_tokens, input_audio_tokens,
      output_audio_tokens, input_image_tokens, requests]) as quantities,
    arrayCount(threshold -> input_per_request > threshold, above) as context,
    arrayPushBack(arrayResize(pico_per_token[context + 1], 9), nullIf(pico_per_request, 0)) as picos,
    arrayMap(i -> parts[i] + if(indexOf(by_remainder, i) <= cost - arrayReduce('sum', parts), 1, 0), range(1, 11))
      as billed,
    if(notEmpty(pico_per_token) and (cache_hit or amount = cost),
      arrayFilter(i -> quantities[i] > 0 and isNotNull(picos[i]), range(1, 11)),
      range(0, if(cost_usd = 0, 0, 1))) as classes
  from {database}.v_charge_states as charges
  left join (select * from {database}.rate_cards final) as cards
    on charges.org = cards.org and charges.price_id = cards.price_id and charges.tier = cards.tier
)
array join classes as class;
