-- Who bears what. A month's allocation is a series of versions: version 1 holds everything, a later one what it adds and
-- takes back, so the sum over all versions is the newest state, and the sum over those with `known_at` at or before a
-- moment is what was known then. A row is never edited. Sums of `cost_usd` by the from_ columns are what the source said.
create table if not exists {database}.allocations (
  org LowCardinality(String),
  period_start Date comment 'first day of the month, UTC',
  period_end Date comment 'first day of the next month',
  version UInt32,
  source LowCardinality(String) comment 'usage, gpu or billing',
  category LowCardinality(String),
  provider LowCardinality(String),
  service LowCardinality(String),
  also_in LowCardinality(String) comment 'the source that counts the same money where it has seen this provider',
  from_kind LowCardinality(String) comment 'direct, idle or unallocated: where the cost stood before any rule',
  from_reason String,
  from_team LowCardinality(String),
  from_project LowCardinality(String),
  from_environment LowCardinality(String),
  from_cost_center LowCardinality(String),
  rule LowCardinality(String) comment 'the AttributionRule that matched, empty for none',
  model LowCardinality(String) comment 'direct, proportional, fixed, activity or even',
  counted_in LowCardinality(String) comment 'the source this money is counted in, as the rule says; empty where it does not',
  kind LowCardinality(String) comment 'direct, allocated, idle or unallocated',
  reason String comment 'the idle bucket (idle, idle:<owner>), or why the cost is unallocated',
  team LowCardinality(String),
  project LowCardinality(String),
  environment LowCardinality(String),
  cost_center LowCardinality(String),
  cost_usd Decimal(38, 12),
  digest String comment 'of the whole allocation as this version leaves it',
  control_offset Int64 comment 'the rules: everything on the control topic before this',
  oldest_rated_at DateTime64(6, 'UTC') comment 'when the oldest charge of the month was rated: 400 days later it expires',
  known_at DateTime64(6, 'UTC')
) engine = MergeTree
partition by toYYYYMM(period_start)
order by (org, period_start, version)
settings non_replicated_deduplication_window = 10000;

-- What a source of cost says, per month and days in it: cost between first_day and last_day, as fine as the source knows.
-- Every source has one such view, of these columns; metrics are what proportional and activity rules may share by, under
-- names that no two sources use. Tags are `unallocated` where nobody said.
create or replace view {database}.v_source_usage as
select
  org, toStartOfMonth(u.day) as month, u.day as first_day, u.day as last_day, 'usage' as source,
  category, provider, service, feature, model, region,
  '' as account, 'Usage' as charge_category,
  if(u.team = '', 'unallocated', u.team) as team, if(u.project = '', 'unallocated', u.project) as project,
  if(u.environment = '', 'unallocated', u.environment) as environment,
  if(u.cost_center = '', 'unallocated', u.cost_center) as cost_center,
  '' as also_in,
  if(team = 'unallocated', 'unallocated', 'direct') as kind,
  if(team = 'unallocated', 'no owner on the event or in the registry', '') as reason,
  sum(u.cost_usd) as cost_usd,
  map('requests', toDecimal128(sum(u.requests), 12),
      'tokens', toDecimal128(sum(u.input_tokens + u.output_tokens), 12),
      'input_tokens', toDecimal128(sum(u.input_tokens), 12),
      'output_tokens', toDecimal128(sum(u.output_tokens), 12),
      'cost', cost_usd) as metrics
from {database}.v_cost as u
group by org, u.day, category, provider, service, feature, model, region, team, project, environment, cost_center;

-- The table of sources: one line a source.
create or replace view {database}.v_allocation_source as
select * from {database}.v_source_usage;

-- Allocated months whose charges have begun to expire (0001: 400 days after rating).
create or replace view {database}.v_allocation_expired as
select a.org as org, a.period_start as month, min(a.oldest_rated_at) as oldest_rated_at
from {database}.allocations as a
group by org, month
having oldest_rated_at <= now() - interval 400 day;

-- Providers whose calls were measured, with a price, in a month (the roll-ups tell: far fewer rows than charges).
create or replace view {database}.v_measured as
select distinct m.org as org, toStartOfMonth(m.minute) as month, m.provider as provider
from {database}.cost_by_minute as m where m.cost_usd > 0;

-- The newest allocation of every month, and beside it, where it stood, what the sources have become since (everything of
-- a month that was never allocated). So it always adds up to the sources; of a month whose charges have begun to expire it
-- is the newest allocation alone. `counted_in` names the source that holds the
-- same money: a rule says so, or it is an invoice of calls to a provider whose calls `usage` has measured, with a price,
-- that month (v_measured).
create or replace view {database}.v_allocation_state as
select
  month, org, source, category, provider, service, rule, model, kind, reason, team, project, environment, cost_center,
  multiIf(p.counted_in = source, '', p.counted_in != '', p.counted_in,
    also_in = 'usage' and (org, month, provider) in (select m.org, m.month, m.provider from {database}.v_measured as m),
    'usage', '') as counted_in,
  sum(part) as cost_usd
from (
  select period_start as month, org, source, category, provider, service, also_in, rule, model, counted_in, kind, reason,
    team, project, environment, cost_center, cost_usd as part
  from {database}.allocations
  union all
  select month, org, source, category, provider, service, also_in, '', 'direct', '', kind, reason,
    team, project, environment, cost_center, cost_usd
  from {database}.v_allocation_source
  where (org, month) not in (select e.org, e.month from {database}.v_allocation_expired as e)
  union all
  select period_start, org, source, category, provider, service, also_in, '', 'direct', '', from_kind, from_reason,
    from_team, from_project, from_environment, from_cost_center, -cost_usd
  from {database}.allocations
  where (org, period_start) not in (select e.org, e.month from {database}.v_allocation_expired as e)
) as p
group by month, org, source, category, provider, service, rule, model, kind, reason, team, project, environment,
  cost_center, counted_in
having cost_usd != 0;

-- Every dollar once.
create or replace view {database}.v_allocated as
select * except counted_in from {database}.v_allocation_state where counted_in = '';

-- What v_allocated leaves out, and the source it is counted in.
create or replace view {database}.v_counted_elsewhere as
select * from {database}.v_allocation_state where counted_in != '';

create or replace view {database}.v_chargeback_month as
select
  month, org, team, project, environment, cost_center, category, kind, source, sum(a.cost_usd) as cost_usd
from {database}.v_allocated as a
group by month, org, team, project, environment, cost_center, category, kind, source;

create or replace view {database}.v_allocation_versions as
select
  org, period_start as month, version, any(digest) as digest, any(control_offset) as control_offset,
  any(known_at) as known_at, count() as rows, sum(a.cost_usd) as change_usd
from {database}.allocations as a
group by org, month, version;
