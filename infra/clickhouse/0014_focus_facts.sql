-- The sources of FOCUS rows, in one shape: a source a view. Empty text is null. What only bills say is in `more`, under
-- FOCUS's own names. `kind` says what a row is: charge, reversal and restatement (a correction's two rows), or, where
-- cost is shared out: `shared out` (taken from its owner), `allocated` (given to who bears it), `counted elsewhere`.
create or replace view {database}.v_focus_usage as
with
  concat(c.provider, '/', c.model) as sku,
  cast((toDecimal128(c.list_unit_usd * c.quantity, 18), toDecimal128(c.contracted_unit_usd * c.quantity, 18)),
    'Tuple(list Decimal(38, 18), contracted Decimal(38, 18))') as exact,
  toStartOfMonth(toDateTime(if(c.kind = 'charge', c.ts, c.known_at), 'UTC')) as month,
  toStartOfHour(toDateTime(c.ts, 'UTC')) as hour
select
  'usage' as source, c.kind as kind, toString(c.org) as org, toDateTime(month, 'UTC') as billing_start,
  toDateTime(month + interval 1 month, 'UTC') as billing_end, hour as charge_start,
  hour + interval 1 hour as charge_end, c.ts as occurred_at, c.known_at as known_at, c.event_id as event_id,
  'Usage' as charge_category, if(kind = 'charge', '', 'Correction') as charge_class,
  concat(sku, ' ', replaceAll(token_class, '_', ' '), ' ', lower(unit), if(c.cache_hit, ', answered by a cache', ''))
    as description,
  'Usage-Based' as frequency,
  toString(c.provider) as provider_name, toString(c.provider) as publisher_name, toString(c.provider) as issuer_name,
  concat(c.provider, ' API') as service_name, 'AI and Machine Learning' as service_category,
  'Generative AI' as service_subcategory, toString(c.region) as region, toString(c.api_key_id) as sub_account,
  'API key' as sub_account_type, '' as resource_id, '' as resource_name, '' as resource_type,
  concat(sku, '/', token_class) as sku_id, replaceAll(token_class, '_', ' ') as sku_meter,
  toJSONString(mapFilter((key, value) -> value != '', map(
    'x_ModelId', toString(c.model),
    'x_TokenDirection', multiIf(unit = 'Requests', '', startsWith(token_class, 'input'), 'Input', 'Output'),
    'x_TokenCacheAction', multiIf(token_class = 'input_cache_read', 'Read', token_class like 'input_cache_write%',
      'Write', ''),
    'x_ServiceTier', toString(c.tier)))) as sku_details,
  concat(c.price_id, '/', c.tier, '/', token_class, if(context_above > 0, concat('>', toString(context_above)), ''),
    if(c.cache_hit, '/cached', '')) as sku_price_id,
  cast(toDecimal128(c.quantity, 12) as Nullable(Decimal(38, 12))) as quantity, c.unit as unit, quantity as consumed,
  unit as consumed_unit,
  cast(c.list_unit_usd as Nullable(Decimal(38, 18))) as list_unit,
  cast(c.contracted_unit_usd as Nullable(Decimal(38, 18))) as contracted_unit,
  cast(roundBankers(exact.list, 12) as Decimal(38, 12)) as list_cost,
  cast(roundBankers(exact.contracted, 12) as Decimal(38, 12)) as contracted_cost,
  c.cost_usd as effective_cost, c.cost_usd as billed_cost,
  toString(c.team) as team, toString(c.project) as project, toString(c.environment) as environment,
  toString(c.cost_center) as cost_center, toString(c.service) as service, toString(c.feature) as feature,
  mapFilter((key, value) -> value != '', map('team', team, 'project', project, 'environment', environment,
    'cost_center', cost_center, 'service', service, 'feature', feature)) as tags,
  toString(c.model) as model, toString(c.category) as category, c.token_class as token_class,
  c.price_id as price_id, c.status as status, toString(c.owner_source) as owner_source, c.cache_hit as cache_hit,
  '' as bucket, '' as counted_in, '' as method, '' as method_details,
  cast(map() as Map(String, String)) as allocated_tags, cast(map() as Map(String, String)) as more
from {database}.v_charge_classes as c;

-- Readings that have a price, as they stood when their month ended, and of every later correction what it takes back and
-- what it says instead. One belongs to the hour it ends in, as in v_gpu_cost. What is idle says so by name.
create or replace view {database}.v_focus_gpu as
with
  toStartOfHour(toDateTime(g.ts, 'UTC')) as hour,
  toStartOfMonth(toDateTime(if(g.state = 'charge', g.ts, g.said_at), 'UTC')) as month,
  g.team = '' as nobodys,
  toDecimal128(g.gpu_hours, 12) as hours
select
  'gpu' as source, g.state as kind, toString(g.org) as org, toDateTime(month, 'UTC') as billing_start,
  toDateTime(month + interval 1 month, 'UTC') as billing_end, hour as charge_start, hour + interval 1 hour as charge_end,
  g.ts as occurred_at, g.said_at as known_at, '' as event_id,
  'Usage' as charge_category, if(kind = 'charge', '', 'Correction') as charge_class,
  concat(g.gpu_model, ' GPU hours, ', multiIf(g.kind = 'idle', 'idle', g.kind = 'idle_owner', g.bucket, 'used'))
    as description,
  'Usage-Based' as frequency,
  'self-hosted' as provider_name, 'self-hosted' as publisher_name, 'self-hosted' as issuer_name,
  'self-hosted GPUs' as service_name, 'Compute' as service_category, 'Other (Compute)' as service_subcategory,
  '' as region, '' as sub_account, '' as sub_account_type,
  g.gpu_uuid as resource_id, concat(g.hostname, ' ', g.gpu_uuid) as resource_name, 'GPU' as resource_type,
  concat('gpu/', splitByChar('@', g.price_id)[1]) as sku_id, 'GPU hours' as sku_meter,
  '' as sku_details, toString(g.price_id) as sku_price_id,
  cast(g.sign * hours as Nullable(Decimal(38, 12))) as quantity, 'Hours' as unit, quantity as consumed,
  unit as consumed_unit,
  cast(if(p.price_id != '', p.usd_per_hour, if(hours = 0, 0, toDecimal128(divideDecimal(g.cost_usd, hours, 12), 12)))
    as Nullable(Decimal(38, 18))) as list_unit,
  list_unit as contracted_unit,
  g.sign * g.cost_usd as list_cost, list_cost as contracted_cost, list_cost as effective_cost, list_cost as billed_cost,
  if(nobodys, 'unallocated', g.team) as team, if(nobodys, 'unallocated', g.project) as project,
  if(nobodys, 'unallocated', g.environment) as environment,
  if(nobodys, 'unallocated', g.cost_center) as cost_center, toString(g.service) as service, '' as feature,
  mapFilter((key, value) -> value != '', map('team', team, 'project', project, 'environment', environment,
    'cost_center', cost_center, 'service', service)) as tags,
  toString(g.gpu_model) as model, 'compute_inference' as category, '' as token_class,
  toString(g.price_id) as price_id, toString(g.status) as status, toString(g.owner_source) as owner_source,
  false as cache_hit, g.bucket as bucket, '' as counted_in, '' as method, '' as method_details,
  cast(map() as Map(String, String)) as allocated_tags, cast(map() as Map(String, String)) as more
from (
  with
    toDateTime64(toStartOfMonth(r.ts) + interval 1 month, 6, 'UTC') as month_end,
    r.superseded_at != toDateTime64(0, 6, 'UTC') and r.superseded_at >= month_end as taken_back,
    r.revision = 0 or r.known_at < month_end as in_time
  select
    r.* except (known_at, superseded_at), arrayJoin(arrayFilter(each -> each.4, [
      ('charge', r.known_at, 1, in_time and (r.superseded_at = toDateTime64(0, 6, 'UTC') or taken_back)),
      ('restatement', r.known_at, 1, not in_time), ('reversal', r.superseded_at, -1, taken_back)])) as said,
    said.1 as state, said.2 as said_at, said.3 as sign
  from {database}.v_gpu_cost_revisions as r
) as g
left any join (
  select
    org, concat(name, '@', formatDateTime(effective_from, '%Y-%m-%dT%H:%i:%SZ', 'UTC'), '#', toString(revision))
      as price_id,
    toDecimal128OrZero(JSONExtractString(spec, 'usd_per_hour', '$decimal'), 12) + JSONExtractInt(spec, 'usd_per_hour')
      as usd_per_hour
  from {database}.prices final where JSONHas(spec, 'usd_per_hour')
) as p on g.org = p.org and g.price_id = p.price_id
where g.status != 'unpriced';

-- Lines of bills that `usage` does not count, in dollars. They belong to the month they are billed for.
create or replace view {database}.v_focus_bill as
with
  cast(b.columns as Map(String, String)) as said,
  b.billing_currency = 'USD' as in_usd
select
  'billing' as source, 'charge' as kind, toString(b.org) as org, b.billing_period_start as billing_start,
  b.billing_period_end as billing_end,
  b.charge_period_start as charge_start, b.charge_period_end as charge_end,
  toDateTime64(b.billing_period_start, 6, 'UTC') as occurred_at, fromUnixTimestamp64Micro(b.version, 'UTC') as known_at,
  '' as event_id, toString(b.charge_category) as charge_category, toString(b.charge_class) as charge_class,
  b.charge_description as description,
  multiIf(said['ChargeFrequency'] != '', said['ChargeFrequency'], charge_category = 'Usage', 'Usage-Based', 'One-Time')
    as frequency,
  toString(b.provider_name) as provider_name,
  if(b.publisher_name = '', provider_name, b.publisher_name) as publisher_name,
  if(b.invoice_issuer_name = '', provider_name, b.invoice_issuer_name) as issuer_name,
  toString(b.service_name) as service_name, if(b.service_category = '', 'Other', b.service_category) as service_category,
  if(said['ServiceSubcategory'] != '', said['ServiceSubcategory'], concat('Other (', service_category, ')'))
    as service_subcategory,
  toString(b.region_id) as region, toString(b.sub_account_id) as sub_account, said['SubAccountType'] as sub_account_type,
  b.resource_id as resource_id, said['ResourceName'] as resource_name, said['ResourceType'] as resource_type,
  toString(b.sku_id) as sku_id, said['SkuMeter'] as sku_meter, said['SkuPriceDetails'] as sku_details,
  said['SkuPriceId'] as sku_price_id, b.pricing_quantity as quantity, toString(b.pricing_unit) as unit,
  b.consumed_quantity as consumed, toString(b.consumed_unit) as consumed_unit,
  if(in_usd, toDecimal128OrNull(said['ListUnitPrice'], 18), null) as list_unit,
  if(in_usd, toDecimal128OrNull(said['ContractedUnitPrice'], 18), null) as contracted_unit,
  b.list_cost as list_cost, b.contracted_cost as contracted_cost, b.effective_cost as effective_cost,
  b.billed_cost as billed_cost,
  toString(b.team) as team, toString(b.project) as project, toString(b.environment) as environment,
  toString(b.cost_center) as cost_center, '' as service, '' as feature, cast(b.tags as Map(String, String)) as tags,
  toString(b.model) as model, toString(b.spend_category) as category, '' as token_class, '' as price_id, '' as status,
  '' as owner_source, false as cache_hit, '' as bucket, '' as counted_in, '' as method, '' as method_details,
  cast(map() as Map(String, String)) as allocated_tags,
  mapFilter((key, value) -> startsWith(key, 'Commitment') or startsWith(key, 'CapacityReservation')
    or key in ('AvailabilityZone', 'InvoiceId', 'PricingCategory', 'RegionName', 'SubAccountName', 'HostProviderName',
      'ServiceProviderName'), said) as more
from {database}.v_bill as b
where not (b.also_in = 'usage' and (b.org, toStartOfMonth(b.month), toString(b.provider)) in (
  select m.org, m.month, toString(m.provider) from {database}.v_measured as m
));
