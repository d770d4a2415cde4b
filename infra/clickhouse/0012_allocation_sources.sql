-- GPU and bills as sources of allocation, over v_gpu_cost and v_bill.
create or replace view {database}.v_source_gpu as
select
  org, toStartOfMonth(g.day) as month, g.day as first_day, g.day as last_day, 'gpu' as source,
  'compute_inference' as category, '' as provider, service,
  '' as feature, gpu_model as model, '' as region, '' as account, 'Usage' as charge_category,
  if(g.team = '', 'unallocated', g.team) as team, if(g.project = '', 'unallocated', g.project) as project,
  if(g.environment = '', 'unallocated', g.environment) as environment,
  if(g.cost_center = '', 'unallocated', g.cost_center) as cost_center,
  '' as also_in,
  multiIf(g.kind != 'used', 'idle', team = 'unallocated', 'unallocated', 'direct') as kind,
  multiIf(g.kind = 'idle_owner', concat('idle:', team), g.kind = 'idle', 'idle',
    team = 'unallocated', 'no owner of the GPU process', '') as reason,
  sum(g.cost_usd) as cost_usd,
  map('gpu_seconds', toDecimal128(sum(g.interval_ms * toDecimal64(g.share, 9)) / 1000, 12),
      'gpu_cost', cost_usd) as metrics
from {database}.v_gpu_cost as g
group by org, g.day, service, model, team, project, environment, cost_center, kind, reason;

-- A line is cost of the days of its charge period, as far as they lie in the month it is billed for.
create or replace view {database}.v_source_billing as
select
  org, toStartOfMonth(b.month) as month,
  least(greatest(toDate(b.charge_period_start), month), toLastDayOfMonth(month)) as first_day,
  if(b.charge_period_end > b.charge_period_start,
    least(greatest(toDate(b.charge_period_end - interval 1 second), first_day), toLastDayOfMonth(month)), first_day)
    as last_day,
  'billing' as source, spend_category as category, provider,
  service_name as service, '' as feature, model, region_id as region, sub_account_id as account, charge_category,
  if(b.team = '', 'unallocated', b.team) as team, if(b.project = '', 'unallocated', b.project) as project,
  if(b.environment = '', 'unallocated', b.environment) as environment,
  if(b.cost_center = '', 'unallocated', b.cost_center) as cost_center,
  b.also_in as also_in,
  if(team = 'unallocated', 'unallocated', 'direct') as kind,
  if(team = 'unallocated', 'no owner in the tags of the invoice line', '') as reason,
  sum(b.billed_cost) as cost_usd,
  map('storage_bytes', toDecimal128(sumIf(toDecimal256(ifNull(consumed_quantity, 0), 12) * multiIf(
    match(consumed_unit, '(?i)^tib'), 1099511627776, match(consumed_unit, '(?i)^tb'), 1000000000000,
    match(consumed_unit, '(?i)^gib'), 1073741824, match(consumed_unit, '(?i)^gb'), 1000000000,
    match(consumed_unit, '(?i)^mb'), 1000000, match(consumed_unit, '(?i)^byte'), 1, 0),
    category = 'data_storage'), 12)) as metrics
from {database}.v_bill as b
group by org, month, first_day, last_day, category, provider, service, model, region, account, charge_category, team,
  project, environment, cost_center, also_in;

create or replace view {database}.v_allocation_source as
select * from {database}.v_source_usage
union all select * from {database}.v_source_gpu
union all select * from {database}.v_source_billing;
