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
  sumIf(c.cost_usd, c.cost_center != 'unallocated') as cost_center_usd
from {database}.v_charges as c
group by org, day, service, owner_source, owner_reason;
