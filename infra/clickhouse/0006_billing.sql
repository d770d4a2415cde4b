-- Bills. A row is one version of one line; written again after a replay it is the same row. The newest version of a
-- line is what the bill says now, older ones are its history.
create table if not exists {database}.billing_items (
  org LowCardinality(String),
  provider_name LowCardinality(String),
  billing_period_start DateTime('UTC'),
  line_id String comment 'an id of the exporter, or a hash of the columns that tell lines apart',
  version Int64 comment 'when it was imported, microseconds: the newest wins',
  billing_period_end DateTime('UTC'),
  charge_period_start DateTime('UTC'),
  charge_period_end DateTime('UTC'),
  charge_category LowCardinality(String) comment 'Usage, Purchase, Tax, Credit, Adjustment or Refund',
  charge_class LowCardinality(String) comment 'Correction: of a charge that was invoiced before',
  charge_description String,
  service_name LowCardinality(String),
  service_category LowCardinality(String),
  publisher_name LowCardinality(String),
  invoice_issuer_name LowCardinality(String),
  billing_account_id LowCardinality(String),
  billing_account_name LowCardinality(String),
  sub_account_id LowCardinality(String),
  region_id LowCardinality(String),
  resource_id String,
  sku_id LowCardinality(String),
  pricing_quantity Nullable(Decimal(38, 12)),
  pricing_unit LowCardinality(String),
  consumed_quantity Nullable(Decimal(38, 12)),
  consumed_unit LowCardinality(String),
  pricing_currency LowCardinality(String) comment 'a virtual currency (Token) where the price is in one',
  pricing_currency_effective_cost Nullable(Decimal(38, 12)),
  commitment_discount_id String,
  commitment_discount_status LowCardinality(String),
  billed_cost Decimal(38, 12) comment 'USD: what is on the invoice',
  effective_cost Decimal(38, 12) comment 'USD: with commitments spread over what they paid for',
  list_cost Decimal(38, 12) comment 'USD at public prices',
  contracted_cost Decimal(38, 12) comment 'USD at negotiated prices, before commitments',
  billing_currency LowCardinality(String),
  fx_rate Decimal(38, 18) comment 'USD for one unit of billing_currency',
  fx_date LowCardinality(String) comment 'day of the rate, empty for USD',
  original_billed_cost Nullable(Decimal(76, 30)) comment 'exactly as on the bill, in billing_currency',
  original_effective_cost Nullable(Decimal(76, 30)),
  original_list_cost Nullable(Decimal(76, 30)),
  original_contracted_cost Nullable(Decimal(76, 30)),
  cost_decimals UInt8 comment 'decimals the costs are written with',
  tags Map(String, String),
  columns Map(String, String) comment 'every other column of the line, as text',
  team LowCardinality(String) comment 'from tags, else unallocated',
  project LowCardinality(String),
  environment LowCardinality(String),
  cost_center LowCardinality(String),
  provider LowCardinality(String) comment 'the name usage has for the provider',
  model LowCardinality(String) comment 'where the line names one',
  spend_category LowCardinality(String),
  billed_tokens Nullable(Decimal(38, 12)) comment 'where the unit is tokens',
  billed_requests Nullable(Decimal(38, 12)),
  content String comment 'digest of what the line says',
  source_file String comment 'SHA-256 of the file',
  source_row Int64 comment 'line of that file',
  withdrawn Bool comment 'a complete bill no longer has the line: it costs nothing any more',
  incarnation LowCardinality(String),
  offset Int64
) engine = ReplacingMergeTree
partition by toYYYYMM(billing_period_start)
order by (org, provider_name, billing_period_start, line_id, version);

create or replace view {database}.v_bill as
select
  org, provider_name, provider, toDate(billing_period_start) as month, billing_period_start, billing_period_end,
  toDate(charge_period_start) as day, charge_period_start, charge_period_end, charge_category, charge_class,
  charge_description, service_name, service_category, spend_category, publisher_name, invoice_issuer_name,
  billing_account_id, billing_account_name, sub_account_id, region_id, resource_id, sku_id, model,
  pricing_quantity, pricing_unit, consumed_quantity, consumed_unit, billed_tokens, billed_requests,
  pricing_currency, pricing_currency_effective_cost, commitment_discount_id, commitment_discount_status,
  billed_cost, effective_cost, list_cost, contracted_cost, billing_currency, fx_rate, fx_date,
  original_billed_cost, original_effective_cost, original_list_cost, original_contracted_cost, cost_decimals,
  team, project, environment, cost_center, tags, columns, line_id, version, content, source_file, source_row,
  if(charge_category = 'Usage' and spend_category = 'external_apis' and (provider not in ('aws', 'azure', 'google')
    or model != '' or isNotNull(billed_tokens) or isNotNull(billed_requests)), 'usage', '') as also_in
from (
  select * from {database}.billing_items
  order by version desc
  limit 1 by org, provider_name, billing_period_start, line_id
)
where not withdrawn;

create or replace view {database}.v_bill_history as
select
  org, provider_name, billing_period_start, line_id, version,
  fromUnixTimestamp64Micro(version, 'UTC') as imported_at,
  version = max(version) over (partition by org, provider_name, billing_period_start, line_id) as is_current,
  charge_category, service_name, charge_description, billed_cost, effective_cost, list_cost, contracted_cost,
  billing_currency, withdrawn, source_file, source_row
from {database}.billing_items final;

-- The stream's estimate against the invoice, by organisation, provider, day (or month, where the bill is monthly) and
-- model. Columns and classes: domain/billing/reconciliation.py, which a test holds this view to.
create or replace view {database}.v_reconciliation_facts as
with
  reconciled as (
    select
      org, provider, model, service_name, charge_period_end, toStartOfMonth(day) as month, day as charge_day,
      effective_cost, contracted_cost, list_cost, billed_cost, billed_tokens, cost_decimals,
      charge_category = 'Tax' as is_tax,
      charge_class = 'Correction' and not is_tax as is_correction,
      charge_category = 'Usage' and charge_class != 'Correction' as is_usage,
      not is_tax and not is_correction and not is_usage as is_other,
      dateDiff('hour', charge_period_start, charge_period_end) as hours,
      is_usage and row_number() over (
        partition by org, provider_name, billing_period_start, replaceRegexpOne(line_id, '#[0-9]+$', ''),
          billed_cost, effective_cost, ifNull(consumed_quantity, toDecimal128(-1, 12)),
          ifNull(pricing_quantity, toDecimal128(-1, 12))
        order by line_id
      ) > 1 as is_repeat
    from {database}.v_bill
    where spend_category = 'external_apis'
      or (service_category = '' and (org, provider) in (select distinct org, provider from {database}.v_cost))
  ),
  months as (
    select
      org, provider, month,
      max(hours) > 25 as monthly,
      max(charge_period_end) as billed_until,
      max(cost_decimals) as decimals,
      groupUniqArrayIf(model, model != '') as named,
      countIf(model = '') > 0 as has_unnamed
    from reconciled where is_usage
    group by org, provider, month
  ),
  cached as (
    select org, provider, model, toDate(ts) as day, sum(input_tokens + output_tokens) as tokens
    from {database}.charges where cache_hit and category = 'external_apis'
    group by org, provider, model, day
  ),
  streamed as (
    select
      org, provider, model, toDate(ts) as day, toStartOfMonth(day) as month,
      sum(cost_usd) as estimate, count() as events, countIf(status = 'unpriced') as unpriced,
      countIf(status = 'partial') as partially_priced, sum(input_tokens + output_tokens) as tokens,
      sumIf(input_tokens + output_tokens, status = 'unpriced') as tokens_unpriced
    from {database}.v_cost where category = 'external_apis'
    group by org, provider, model, day
  ),
  billed_side as (
    select
      r.org as org, r.provider as provider, if(m.monthly, r.month, r.charge_day) as day, r.month as month,
      r.model as model,
      toDecimal128(0, 12) as estimate, toInt64(0) as events, toInt64(0) as unpriced, toInt64(0) as partially_priced,
      toInt64(0) as tokens, toInt64(0) as tokens_unpriced,
      groupUniqArrayIf(r.service_name, r.service_name != '') as services,
      sum(r.billed_cost) as billed, sumIf(r.effective_cost, r.is_tax) as tax,
      countIf(r.is_usage) as lines,
      sumIf(r.effective_cost, r.is_usage) as effective,
      sumIf(r.contracted_cost, r.is_usage) as contracted,
      sumIf(r.list_cost, r.is_usage) as list,
      sumIf(ifNull(r.billed_tokens, 0), r.is_usage) as bill_tokens,
      countIf(r.is_usage and isNull(r.billed_tokens)) as unmeasured,
      sumIf(r.effective_cost, r.is_repeat) as repeated_effective,
      sumIf(r.contracted_cost, r.is_repeat) as repeated_contracted,
      sumIf(r.list_cost, r.is_repeat) as repeated_list,
      sumIf(ifNull(r.billed_tokens, 0), r.is_repeat) as repeated_tokens,
      sumIf(r.effective_cost, r.is_other) as other,
      sumIf(r.effective_cost, r.is_correction) as corrections
    from reconciled as r
    left join months as m on m.org = r.org and m.provider = r.provider and m.month = r.month
    group by org, provider, day, month, model
  ),
  stream_side as (
    select
      s.org as org, s.provider as provider, if(m.monthly, s.month, s.day) as day, s.month as month,
      -- as model_id spells it
      replaceRegexpOne(replaceRegexpOne(lower(s.model),
        '^(models/|([a-z]{2}[.])?(anthropic|meta|mistral|cohere|amazon|openai)[./])', ''),
        '(-[0-9]{4}-[0-9]{2}-[0-9]{2}|-20[0-9]{6})?(-v[0-9]+(:[0-9]+)?)?$', '') as spelled,
      if(m.has_unnamed and not has(m.named, spelled), '', spelled) as model,
      sum(s.estimate) as estimate, toInt64(sum(s.events)) as events, toInt64(sum(s.unpriced)) as unpriced,
      toInt64(sum(s.partially_priced)) as partially_priced,
      toInt64(sum(s.tokens - c.tokens)) as tokens, toInt64(sum(s.tokens_unpriced)) as tokens_unpriced
    from streamed as s
    left join cached as c on c.org = s.org and c.provider = s.provider and c.model = s.model and c.day = s.day
    left join months as m on m.org = s.org and m.provider = s.provider and m.month = s.month
    group by org, provider, day, month, model, spelled
  ),
  both as (
    select * from billed_side
    union all
    select
      org, provider, day, month, model, estimate, events, unpriced, partially_priced, tokens, tokens_unpriced,
      [], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    from stream_side
  )
select
  b.org as org, b.provider as provider, b.day as day, b.model as model,
  arrayStringConcat(arraySort(groupUniqArrayArray(b.services)), ', ') as service,
  any(m.monthly) as monthly,
  any(toDateTime(b.day, 'UTC') < m.billed_until) as covered,
  sum(b.estimate) as estimate_usd,
  sum(b.events) as events, sum(b.unpriced) as unpriced_events, sum(b.partially_priced) as partial_events,
  sum(b.tokens) as stream_tokens, sum(b.tokens_unpriced) as unpriced_tokens,
  toInt64(sum(b.lines)) as bill_lines,
  sum(b.billed) as billed_usd, sum(b.tax) as tax_usd,
  sum(b.effective) as usage_effective_usd, sum(b.contracted) as usage_contracted_usd, sum(b.list) as usage_list_usd,
  if(sum(b.lines) > 0 and sum(b.unmeasured) = 0, sum(b.bill_tokens), null) as bill_tokens,
  sum(b.repeated_effective) as repeated_effective_usd, sum(b.repeated_contracted) as repeated_contracted_usd,
  sum(b.repeated_list) as repeated_list_usd, sum(b.repeated_tokens) as repeated_tokens,
  sum(b.other) as other_usd, sum(b.corrections) as corrections_usd,
  any(m.decimals) as bill_decimals
from both as b
left join months as m on m.org = b.org and m.provider = b.provider and m.month = b.month
group by org, provider, day, model;

create or replace view {database}.v_reconciliation as
with
  asked as (
    select
      *,
      bill_tokens is not null and bill_tokens > 0 and stream_tokens > 0 as countable,
      covered and bill_lines > 0 and events > 0 as comparable,
      repeated_effective_usd != 0 and if(countable, ifNull(bill_tokens, 0) - repeated_tokens >= stream_tokens,
        usage_effective_usd - repeated_effective_usd >= estimate_usd) as billed_twice
    from {database}.v_reconciliation_facts
  ),
  billed_once as (
    select
      *,
      usage_effective_usd - if(billed_twice, repeated_effective_usd, 0) as effective,
      usage_contracted_usd - if(billed_twice, repeated_contracted_usd, 0) as contracted,
      usage_list_usd - if(billed_twice, repeated_list_usd, 0) as listed,
      ifNull(bill_tokens, 0) - if(billed_twice, repeated_tokens, 0) as quantity,
      countable and quantity > 0 as measured,
      if(measured, quantity, toDecimal128(1, 12)) as per,
      toDecimal128(if(measured, stream_tokens, 1), 12) as counted,
      toDecimal128(if(measured, stream_tokens - unpriced_tokens, 1), 12) as priced
    from asked
  ),
  gaps as (
    select
      *,
      abs(divideDecimal(multiplyDecimal(effective, priced, 24), per, 12) - estimate_usd) as effective_gap,
      abs(divideDecimal(multiplyDecimal(contracted, priced, 24), per, 12) - estimate_usd) as contracted_gap,
      abs(divideDecimal(multiplyDecimal(listed, priced, 24), per, 12) - estimate_usd) as listed_gap
    from billed_once
  ),
  meaning as (
    select
      *,
      multiIf(effective_gap <= contracted_gap and effective_gap <= listed_gap, effective,
        contracted_gap <= listed_gap, contracted, listed) as meant
    from gaps
  ),
  alike as (
    select
      *,
      if(comparable and measured, toDecimal128(divideDecimal(multiplyDecimal(meant, counted, 24), per, 12), 12), meant)
        as at_quantity
    from meaning
  ),
  priced_alike as (
    select
      *,
      if(comparable and measured, toDecimal128(divideDecimal(
        multiplyDecimal(at_quantity, toDecimal128(unpriced_tokens, 12), 24), counted, 12), 12), 0) as without_price
    from alike
  ),
  remaining as (
    select
      *,
      if(comparable, at_quantity - without_price - estimate_usd, 0) as rest,
      toDecimal128(divideDecimal(
        toDecimal128(bill_lines * if(bill_decimals >= 12, 1, 5 * intExp10(11 - least(bill_decimals, 11))), 0),
        toDecimal128(1000000000000, 0), 12), 12) as rounding_bound
    from priced_alike
  ),
  explained as (
    select
      *,
      if(abs(rest) <= rounding_bound, rest, 0) as rounding,
      rest - rounding as unexplained,
      unexplained > 0 and (partial_events > 0 or (unpriced_events > 0 and not measured)) as lacks_a_price
    from remaining
  ),
  classified as (
    select
      org, provider, day, model, service, monthly, covered, estimate_usd,
      usage_effective_usd + other_usd + corrections_usd as invoice_usd,
      invoice_usd - estimate_usd as variance_usd,
      if(lacks_a_price, 0, unexplained) as price,
      multiIf(not covered or bill_lines = 0, 0, events = 0, meant,
        measured and quantity > stream_tokens, meant - at_quantity, 0) as missing_usage,
      if(billed_twice, repeated_effective_usd, 0)
        + multiIf(not covered, 0, bill_lines = 0, -estimate_usd, events = 0, 0,
          measured and quantity <= stream_tokens, meant - at_quantity, 0) as duplicate,
      without_price + if(lacks_a_price, unexplained, 0) as unpriced,
      other_usd + effective - meant as commitment_or_discount,
      rounding,
      corrections_usd + if(covered, 0, meant - estimate_usd) as late,
      [abs(price), abs(missing_usage), abs(duplicate), abs(unpriced), abs(commitment_or_discount), abs(rounding),
        abs(late)] as sizes,
      billed_usd, tax_usd, events, unpriced_events, partial_events, stream_tokens, bill_tokens, bill_lines
    from explained
  )
select
  org, provider, day, model, service, monthly, covered, estimate_usd, invoice_usd, variance_usd,
  price, missing_usage, duplicate, unpriced, commitment_or_discount, rounding, late,
  if(arrayMax(sizes) = 0, 'match', arrayElement(
    ['price', 'missing_usage', 'duplicate', 'unpriced', 'commitment_or_discount', 'rounding', 'late'],
    indexOf(sizes, arrayMax(sizes)))) as class,
  billed_usd, tax_usd, events, unpriced_events, partial_events, stream_tokens, bill_tokens, bill_lines
from classified;
