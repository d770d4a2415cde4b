-- What rules have moved, two rows for each part of a cost that was shared out: what its owner no longer bears, negative
-- and of the origin's dimensions, and what its bearer does. Where another source holds the same money, one of the two
-- is missing: the first where the lines are not in the export anyway, the second where the money is counted elsewhere. So
-- all rows together say what v_allocated says, by owner. A month that has begun to expire has only what is borne.
-- AllocatedRatio: part of the origin, in 10^-12, adding up to 1 (largest remainder).
create or replace view {database}.v_focus_allocation as
with
  parts as (
    select
      a.org as org, a.period_start as month, a.source as source, a.category as category, a.provider as provider,
      a.service as service, a.also_in as also_in, a.rule as rule, a.model as model, a.counted_in as said_in,
      cast([a.from_team, a.from_project, a.from_environment, a.from_cost_center] as Array(String)) as giver,
      a.from_reason as from_reason,
      cast([a.team, a.project, a.environment, a.cost_center] as Array(String)) as bearer,
      a.reason as reason, a.kind as share,
      sum(a.cost_usd) as usd, max(a.known_at) as known_at
    from {database}.allocations as a
    group by org, month, source, category, provider, service, also_in, rule, model, said_in, giver, from_reason,
      bearer, reason, share
    having usd != 0
  ),
  counted as (
    select
      *,
      also_in = 'usage' and (org, month, provider) in (select m.org, m.month, m.provider from {database}.v_measured as m)
        as left_out,
      multiIf(said_in = source, '', said_in != '', said_in, left_out, 'usage', '') as in_source,
      not left_out and (org, month) not in (select e.org, e.month from {database}.v_allocation_expired as e) as takes,
      in_source = '' as gives,
      toInt256(usd * 1000000000000) as pico,
      sum(pico) over origin as whole,
      intDiv(pico * 1000000000000, if(whole = 0, 1, whole)) as floored,
      abs(pico * 1000000000000 - floored * whole) as remainder
    from parts
    window origin as (partition by org, month, source, category, provider, service, also_in, rule, giver, from_reason)
  ),
  shares as (
    select
      *,
      floored + (row_number() over (origin order by remainder desc, bearer, reason)
        <= 1000000000000 - sum(floored) over origin) as ratio
    from counted
    window origin as (partition by org, month, source, category, provider, service, also_in, rule, giver, from_reason)
  ),
  named as (
    select
      b.org as org, toStartOfMonth(b.month) as month, toString(b.provider) as provider,
      toString(b.service_name) as service, any(toString(b.provider_name)) as provider_name,
      any(toString(b.service_category)) as service_category
    from {database}.v_bill as b group by org, month, provider, service
  ),
  ['team', 'project', 'environment', 'cost_center'] as tag_names,
  if(side = 'gives', s.bearer, s.giver) as owner
select
  s.source as source,
  multiIf(side = 'gives', 'allocated', s.gives, 'shared out', 'counted elsewhere') as kind,
  toString(s.org) as org, toDateTime(s.month, 'UTC') as billing_start,
  toDateTime(s.month + interval 1 month, 'UTC') as billing_end, billing_start as charge_start,
  billing_end as charge_end, toDateTime64(s.month, 6, 'UTC') as occurred_at, s.known_at as known_at, '' as event_id,
  'Adjustment' as charge_category, '' as charge_class,
  concat(if(s.service = '', service_name, s.service),
    multiIf(kind = 'allocated', ', borne by ', kind = 'shared out', ', shared out by ', ', counted in '),
    multiIf(kind = 'allocated', bearer_name, kind = 'shared out', s.rule, s.in_source)) as description,
  'One-Time' as frequency,
  multiIf(s.source = 'gpu', 'self-hosted', n.provider_name != '', n.provider_name, s.provider) as provider_name,
  provider_name as publisher_name, provider_name as issuer_name,
  multiIf(s.source = 'gpu', 'self-hosted GPUs', s.source = 'usage', concat(s.provider, ' API'), s.service)
    as service_name,
  multiIf(s.source = 'gpu', 'Compute', s.source = 'usage', 'AI and Machine Learning', n.service_category != '',
    n.service_category, 'Other') as service_category,
  if(s.source = 'usage', 'Generative AI', concat('Other (', service_category, ')')) as service_subcategory,
  '' as region, '' as sub_account, '' as sub_account_type, '' as resource_id, '' as resource_name, '' as resource_type,
  '' as sku_id, '' as sku_meter, '' as sku_details, '' as sku_price_id,
  cast(null as Nullable(Decimal(38, 12))) as quantity, '' as unit, quantity as consumed, '' as consumed_unit,
  cast(null as Nullable(Decimal(38, 18))) as list_unit, list_unit as contracted_unit,
  if(side = 'gives', s.usd, -s.usd) as list_cost, list_cost as contracted_cost, list_cost as effective_cost,
  list_cost as billed_cost,
  owner[1] as team, owner[2] as project, owner[3] as environment, owner[4] as cost_center,
  if(s.source = 'billing', '', s.service) as service, '' as feature,
  mapFilter((key, value) -> value not in ('', 'unallocated'), mapFromArrays(tag_names, s.giver)) as tags,
  '' as model, toString(s.category) as category, '' as token_class, '' as price_id, '' as status, '' as owner_source,
  false as cache_hit, if(side = 'gives', s.reason, s.from_reason) as bucket,
  if(kind = 'counted elsewhere', s.in_source, '') as counted_in,
  if(kind = 'counted elsewhere', '', s.rule) as method,
  if(side = 'gives' and s.rule != '', concat('{"Elements":[{"AllocatedRatio":',
    toString(toDecimal128(s.ratio, 0) * toDecimal128('0.000000000001', 12)), '}],"x_Model":', toJSONString(s.model), '}'), '')
    as method_details,
  if(side = 'gives', mapFilter((key, value) -> value not in ('', 'unallocated'), mapFromArrays(tag_names, s.bearer)),
    cast(map() as Map(String, String))) as allocated_tags,
  cast(map() as Map(String, String)) as more
from (
  select
    *, arrayStringConcat(arrayFilter(tag -> tag not in ('', 'unallocated'), bearer), '/') as named_by,
    if(named_by = '', 'unallocated', named_by) as bearer_name,
    arrayJoin(arrayFilter(each -> if(each = 'gives', gives, takes), ['takes', 'gives'])) as side
  from shares where not (takes and gives and model = 'direct')
) as s
left any join named as n on s.org = n.org and s.month = n.month and s.provider = n.provider and s.service = n.service;

-- All of it in FOCUS's words: the columns of 1.2 as it spells them, those that 1.3 added, and our own (x_).
create or replace view {database}.v_focus_rows as
select
  nullIf(more['AvailabilityZone'], '') as AvailabilityZone,
  billed_cost as BilledCost,
  org as BillingAccountId,
  org as BillingAccountName,
  'Organisation' as BillingAccountType,
  'USD' as BillingCurrency,
  billing_end as BillingPeriodEnd,
  billing_start as BillingPeriodStart,
  nullIf(more['CapacityReservationId'], '') as CapacityReservationId,
  nullIf(more['CapacityReservationStatus'], '') as CapacityReservationStatus,
  charge_category as ChargeCategory,
  nullIf(charge_class, '') as ChargeClass,
  description as ChargeDescription,
  frequency as ChargeFrequency,
  charge_end as ChargePeriodEnd,
  charge_start as ChargePeriodStart,
  nullIf(more['CommitmentDiscountCategory'], '') as CommitmentDiscountCategory,
  nullIf(more['CommitmentDiscountId'], '') as CommitmentDiscountId,
  nullIf(more['CommitmentDiscountName'], '') as CommitmentDiscountName,
  toDecimal128OrNull(more['CommitmentDiscountQuantity'], 12) as CommitmentDiscountQuantity,
  nullIf(more['CommitmentDiscountStatus'], '') as CommitmentDiscountStatus,
  nullIf(more['CommitmentDiscountType'], '') as CommitmentDiscountType,
  nullIf(more['CommitmentDiscountUnit'], '') as CommitmentDiscountUnit,
  consumed as ConsumedQuantity,
  nullIf(consumed_unit, '') as ConsumedUnit,
  contracted_cost as ContractedCost,
  contracted_unit as ContractedUnitPrice,
  effective_cost as EffectiveCost,
  nullIf(more['InvoiceId'], '') as InvoiceId,
  issuer_name as InvoiceIssuerName,
  list_cost as ListCost,
  list_unit as ListUnitPrice,
  multiIf(more['PricingCategory'] != '', more['PricingCategory'], charge_category in ('Usage', 'Purchase'), 'Standard',
    null) as PricingCategory,
  'USD' as PricingCurrency,
  contracted_unit as PricingCurrencyContractedUnitPrice,
  effective_cost as PricingCurrencyEffectiveCost,
  list_unit as PricingCurrencyListUnitPrice,
  quantity as PricingQuantity,
  nullIf(unit, '') as PricingUnit,
  provider_name as ProviderName,
  publisher_name as PublisherName,
  nullIf(region, '') as RegionId,
  nullIf(if(more['RegionName'] != '', more['RegionName'], region), '') as RegionName,
  nullIf(resource_id, '') as ResourceId,
  nullIf(resource_name, '') as ResourceName,
  nullIf(resource_type, '') as ResourceType,
  service_category as ServiceCategory,
  service_name as ServiceName,
  service_subcategory as ServiceSubcategory,
  nullIf(sku_id, '') as SkuId,
  nullIf(sku_meter, '') as SkuMeter,
  nullIf(sku_details, '') as SkuPriceDetails,
  nullIf(sku_price_id, '') as SkuPriceId,
  nullIf(sub_account, '') as SubAccountId,
  nullIf(if(more['SubAccountName'] != '', more['SubAccountName'], sub_account), '') as SubAccountName,
  if(sub_account = '', null, nullIf(sub_account_type, '')) as SubAccountType,
  toJSONString(tags) as Tags,
  nullIf(method_details, '') as AllocatedMethodDetails,
  nullIf(method, '') as AllocatedMethodId,
  if(method_details = '', null, coalesce(nullIf(arrayStringConcat(arrayMap((tag, value) -> concat(tag, '=', value),
    mapKeys(allocated_tags), mapValues(allocated_tags)), ','), ''), 'unallocated')) as AllocatedResourceId,
  if(method_details = '', null, team) as AllocatedResourceName,
  if(method_details = '', null, toJSONString(allocated_tags)) as AllocatedTags,
  cast(null as Nullable(String)) as ContractApplied,
  if(more['HostProviderName'] != '', more['HostProviderName'], provider_name) as HostProviderName,
  if(more['ServiceProviderName'] != '', more['ServiceProviderName'], provider_name) as ServiceProviderName,
  source as x_Source,
  kind as x_Kind,
  nullIf(counted_in, '') as x_CountedIn,
  event_id as x_EventId,
  occurred_at as x_OccurredAt,
  known_at as x_KnownAt,
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
  cache_hit as x_CacheHit,
  bucket as x_Bucket
from (
  select * from {database}.v_focus_usage
  union all select * from {database}.v_focus_gpu
  union all select * from {database}.v_focus_bill
  union all select * from {database}.v_focus_allocation
);

-- FOCUS 1.2: what Spendstream itself has measured, every dollar once. Sums of rows of `usage` that are not
-- `counted elsewhere` are those of v_cost, of `gpu` those of v_gpu_cost.
create or replace view {database}.v_focus as
select * except (AllocatedMethodDetails, AllocatedMethodId, AllocatedResourceId, AllocatedResourceName, AllocatedTags,
  ContractApplied, HostProviderName, ServiceProviderName)
from {database}.v_focus_rows
where x_Source in ('usage', 'gpu')
  and (x_Kind in ('charge', 'reversal', 'restatement') or x_CountedIn in ('usage', 'gpu'));

-- FOCUS 1.3: all sources, shared out by the rules: adds up to v_allocated, in total and by owner.
create or replace view {database}.v_focus_1_3 as
select * from {database}.v_focus_rows
where x_Kind not in ('charge', 'reversal', 'restatement')
  or (BillingAccountId, toStartOfMonth(x_OccurredAt)) not in (
    select toString(e.org), e.month from {database}.v_allocation_expired as e);
