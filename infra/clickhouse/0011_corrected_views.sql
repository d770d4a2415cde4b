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
