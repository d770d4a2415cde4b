-- Why an event's tags are unallocated, and how much of the spend that is.
alter table {database}.charges
  add column if not exists owner_reason LowCardinality(String) default ''
    comment 'which tags are unallocated and why, for example: team missing; cost_center unknown: cc-9'
  after owner_source;

create view if not exists {database}.v_tag_coverage as
select
  c.org as org, toDate(c.ts) as day, c.service as service, c.owner_source as owner_source,
  c.owner_reason as owner_reason,
  count() as events,
  sum(c.cost_usd) as cost_usd,
  sumIf(c.cost_usd, c.team != 'unallocated') as team_usd,
  sumIf(c.cost_usd, c.project != 'unallocated') as project_usd,
  sumIf(c.cost_usd, c.environment != 'unallocated') as environment_usd,
  sumIf(c.cost_usd, c.cost_center != 'unallocated') as cost_center_usd
from {database}.charges as c
group by org, day, service, owner_source, owner_reason;
