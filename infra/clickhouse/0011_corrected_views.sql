-- Views that read the ledger as it stands after corrections.

-- How much of the spend is owned, as it stands after corrections.
create or replace view {database}.v_tag_coverage as
select
  c.org as org, toDate(c.ts) as day, c.service as service, c.owner_source as owner_source,
  c.owner_reason as owner_reason,
  count() as events,
  sum(c.cost_usd) as cost_usd,
  sumIf(c.cost_usd, c.team != 'unallocated') as team_usd,
  sumIf(c.cost_usd, c.project != 'unallocated') as project_usd,
  sumIf(c.cost_usd, c.environment != 'unallocated') as environment_usd,
  sumIf(c.cost_usd, c.cost_center != 'unallocated') as cost_center_usd,
  sumIf(c.cost_usd, match(c.owner_reason, '(^|; )[a-z_]+ unlisted(;|$)')) as unlisted_usd
from {database}.v_charges as c
group by org, day, service, owner_source, owner_reason;

-- People and conversations are counted apart for each period: a month is not the sum of its days.
create or replace view {database}.v_unit_economics as
select
  cost.org as org, cost.service as service, cost.grain as grain, cost.period as period,
  cost.requests as requests, people.users as users, people.sessions as sessions,
  cost.input_tokens as input_tokens, cost.output_tokens as output_tokens, cost.cost_usd as cost_usd,
  cost.cost_usd / nullIf(cost.requests, 0) as cost_per_request_usd,
  cost.cost_usd / nullIf(people.users, 0) as cost_per_user_usd,
  cost.cost_usd / nullIf(people.sessions, 0) as cost_per_session_usd,
  (cost.input_tokens + cost.output_tokens) / nullIf(cost.requests, 0) as tokens_per_request,
  people.error_cost_usd as error_cost_usd,
  toFloat64(people.error_cost_usd) / nullIf(toFloat64(cost.cost_usd), 0) as error_cost_share
from (
  select
    org, service, grains.1 as grain, grains.2 as period, sum(requests) as requests, sum(input_tokens) as input_tokens,
    sum(output_tokens) as output_tokens, sum(cost_usd) as cost_usd
  from (
    select *, arrayJoin([('day', day), ('month', toStartOfMonth(day))]) as grains from {database}.v_cost
  )
  group by org, service, grain, period
) as cost
left join (
  select
    org, service, grains.1 as grain, grains.2 as period,
    uniqExactIf(user_id, user_id != '') as users, uniqExactIf(session_id, session_id != '') as sessions,
    sumIf(cost_usd, call_status != 'ok') as error_cost_usd
  from (
    select
      org, service, user_id, session_id, call_status, cost_usd,
      arrayJoin([('day', toDate(ts)), ('month', toStartOfMonth(toDate(ts)))]) as grains
    from {database}.v_charges
  )
  group by org, service, grain, period
) as people using (org, service, grain, period);

-- One row per charge and token class it was charged for. Parts of a charge add up to it to the pico-dollar: each class
-- gets its share of cost_usd, what is left over goes to the largest remainders, ties by class (domain.md, Money).
-- A charge whose card is unknown, or does not give its amount, is one row of class `all`.
create or replace view {database}.v_charge_classes as
with
  toDecimal128('0.000000000000000001', 18) as atto_usd,
  class > 0 as split,
  toInt256(if(cache_hit, 0, ifNull(picos[class], 0))) * 1000000 as attos
select
  org, event_id, ts, team, project, environment, cost_center, service, feature, user_id, api_key_id, provider, model,
  operation, category, region, tier, status, call_status, owner_source, cache_hit, price_id,
  if(split, names[class], 'all') as token_class,
  if(split and class < 10, 'Tokens', 'Requests') as unit,
  if(split, toInt64(quantities[class]), greatest(requests, 1)) as quantity,
  if(split, above[context], 0) as context_above,
  if(split, toDecimal128(intDiv(attos * list_numerator * 2 + list_denominator, list_denominator * 2), 0) * atto_usd,
    toDecimal128(charged_usd, 18) / greatest(requests, 1)) as list_unit_usd,
  if(split, toDecimal128(intDiv(attos * contracted_numerator * 2 + contracted_denominator,
    contracted_denominator * 2), 0) * atto_usd,
    toDecimal128(charged_usd, 18) / greatest(requests, 1)) as contracted_unit_usd,
  if(split, toDecimal128(billed[class], 0) * toDecimal128('0.000000000001', 12), charged_usd) as cost_usd
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
    charges.price_id as price_id, requests, cost_usd as charged_usd, above,
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
  from {database}.v_charges as charges
  left join (select * from {database}.rate_cards final) as cards
    on charges.org = cards.org and charges.price_id = cards.price_id and charges.tier = cards.tier
)
array join classes as class;

-- FOCUS 1.2, all its columns as it spells them; AllocatedTags is of 1.3; what is ours alone begins with x_.
-- Usage without a price is no charge yet: v_unpriced has it, and its correction will be here. It is
-- an estimate, not an invoice: InvoiceId is null. EffectiveCost is BilledCost: there are no commitments in it.
create view if not exists {database}.v_focus as
with
  cast(null as Nullable(String)) as nothing,
  concat(provider, '/', model) as sku,
  mapFilter((key, value) -> value != '', map('team', toString(team), 'project', toString(project), 'environment',
    toString(environment), 'cost_center', toString(cost_center), 'service', toString(service), 'feature',
    toString(feature))) as tags,
  startsWith(token_class, 'input') as is_input,
  nullIf(toString(region), '') as region_or_null,
  nullIf(toString(api_key_id), '') as key_or_null,
  toDecimal128(quantity, 12) as measured
select
  nothing as AvailabilityZone,
  cost_usd as BilledCost,
  toString(org) as BillingAccountId,
  toString(org) as BillingAccountName,
  'Organisation' as BillingAccountType,
  'USD' as BillingCurrency,
  toDateTime(toStartOfMonth(ts) + interval 1 month, 'UTC') as BillingPeriodEnd,
  toDateTime(toStartOfMonth(ts), 'UTC') as BillingPeriodStart,
  nothing as CapacityReservationId,
  nothing as CapacityReservationStatus,
  'Usage' as ChargeCategory,
  nothing as ChargeClass,
  concat(sku, ' ', replaceAll(token_class, '_', ' '), ' ', lower(unit),
    if(cache_hit, ', answered by a cache', '')) as ChargeDescription,
  'Usage-Based' as ChargeFrequency,
  toStartOfHour(toDateTime(ts, 'UTC')) + interval 1 hour as ChargePeriodEnd,
  toStartOfHour(toDateTime(ts, 'UTC')) as ChargePeriodStart,
  nothing as CommitmentDiscountCategory,
  nothing as CommitmentDiscountId,
  nothing as CommitmentDiscountName,
  cast(null as Nullable(Decimal(38, 12))) as CommitmentDiscountQuantity,
  nothing as CommitmentDiscountStatus,
  nothing as CommitmentDiscountType,
  nothing as CommitmentDiscountUnit,
  measured as ConsumedQuantity,
  unit as ConsumedUnit,
  contracted_unit_usd * quantity as ContractedCost,
  contracted_unit_usd as ContractedUnitPrice,
  cost_usd as EffectiveCost,
  nothing as InvoiceId,
  toString(provider) as InvoiceIssuerName,
  list_unit_usd * quantity as ListCost,
  list_unit_usd as ListUnitPrice,
  'Standard' as PricingCategory,
  'USD' as PricingCurrency,
  contracted_unit_usd as PricingCurrencyContractedUnitPrice,
  cost_usd as PricingCurrencyEffectiveCost,
  list_unit_usd as PricingCurrencyListUnitPrice,
  measured as PricingQuantity,
  unit as PricingUnit,
  toString(provider) as ProviderName,
  toString(provider) as PublisherName,
  region_or_null as RegionId,
  region_or_null as RegionName,
  nothing as ResourceId,
  nothing as ResourceName,
  nothing as ResourceType,
  'AI and Machine Learning' as ServiceCategory,
  concat(provider, ' API') as ServiceName,
  'Generative AI' as ServiceSubcategory,
  concat(sku, '/', token_class) as SkuId,
  replaceAll(token_class, '_', ' ') as SkuMeter,
  toJSONString(mapFilter((key, value) -> value != '', map(
    'x_ModelId', toString(model),
    'x_TokenDirection', multiIf(unit = 'Requests', '', is_input, 'Input', 'Output'),
    'x_TokenCacheAction', multiIf(token_class = 'input_cache_read', 'Read', token_class like 'input_cache_write%',
      'Write', ''),
    'x_ServiceTier', toString(tier)))) as SkuPriceDetails,
  concat(price_id, '/', tier, '/', token_class,
    if(context_above > 0, concat('>', toString(context_above)), ''), if(cache_hit, '/cached', '')) as SkuPriceId,
  key_or_null as SubAccountId,
  key_or_null as SubAccountName,
  if(isNull(key_or_null), null, 'API key') as SubAccountType,
  toJSONString(tags) as Tags,
  if(owner_source = 'registry', toJSONString(tags), null) as AllocatedTags,
  event_id as x_EventId,
  ts as x_OccurredAt,
  team as x_Team,
  project as x_Project,
  environment as x_Environment,
  cost_center as x_CostCenter,
  service as x_Service,
  feature as x_Feature,
  model as x_Model,
  category as x_Category,
  token_class as x_TokenClass,
  price_id as x_PriceId,
  status as x_Status,
  owner_source as x_OwnerSource,
  cache_hit as x_CacheHit
from {database}.v_charge_classes;
