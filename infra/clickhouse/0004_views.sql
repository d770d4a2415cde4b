-- What analysts read. Every view is right under replays: facts are inserted once, roll-ups are read by newest version.
create view if not exists {database}.v_cost as
select
  org, ts, toDate(ts) as day, team, project, environment, cost_center, service, feature, provider, model, category,
  region, tier, requests, input_tokens, output_tokens, cost_usd, status, user_id, api_key_id, event_id, price_id
from {database}.charges;

create view if not exists {database}.v_cost_minute as
select
  org, minute as ts, team, project, environment, cost_center, service, feature, provider, model, category, region, tier,
  events, requests, error_requests, cache_hits, priced_events, partial_events, unpriced_events,
  input_uncached_tokens + input_cache_read_tokens + input_cache_write_5m_tokens + input_cache_write_1h_tokens
    + input_audio_tokens + input_image_tokens as input_tokens,
  output_text_tokens + output_reasoning_tokens + output_audio_tokens as output_tokens,
  cost_usd, error_cost_usd
from {database}.cost_by_minute final;

create view if not exists {database}.v_cost_hourly as
select
  org, toStartOfHour(ts) as hour, team, project, environment, cost_center, service, feature, provider, model, category,
  region, tier,
  sum(events) as events, sum(requests) as requests, sum(error_requests) as error_requests,
  sum(unpriced_events) as unpriced_events, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
  sum(cost_usd) as cost_usd
from {database}.v_cost_minute
group by org, hour, team, project, environment, cost_center, service, feature, provider, model, category, region, tier;

create view if not exists {database}.v_cost_daily as
select
  org, toDate(ts) as day, team, project, environment, cost_center, service, feature, provider, model, category, region,
  tier,
  sum(events) as events, sum(requests) as requests, sum(error_requests) as error_requests,
  sum(unpriced_events) as unpriced_events, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
  sum(cost_usd) as cost_usd
from {database}.v_cost_minute
group by org, day, team, project, environment, cost_center, service, feature, provider, model, category, region, tier;

create view if not exists {database}.v_unpriced as
select
  org, provider, model, tier, unpriced_reason, count() as events, sum(requests) as requests,
  sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens, min(ts) as first_seen, max(ts) as last_seen
from {database}.charges
where status != 'priced'
group by org, provider, model, tier, unpriced_reason;

create view if not exists {database}.v_token_mismatch as
select
  org, provider, model, service, count() as events, sum(greatest(token_mismatch, 0)) as unexplained_tokens,
  sum(greatest(-token_mismatch, 0)) as surplus_tokens,
  anyLastIf(attributes['token_mismatch_reason'], attributes['token_mismatch_reason'] != '') as example,
  min(ts) as first_seen, max(ts) as last_seen
from {database}.charges
where token_mismatch != 0
group by org, provider, model, service;

create view if not exists {database}.v_conservation as
select
  sum(events) as events_in, sum(priced) as priced, sum(partial) as partial, sum(unpriced) as unpriced,
  sum(duplicate) as duplicate, sum(rejected) as rejected,
  events_in - priced - partial - unpriced - duplicate - rejected as difference
from {database}.ledger_ranges final;

create view if not exists {database}.v_alerts as
select * from {database}.alerts order by revision desc limit 1 by org, alert_id;

create view if not exists {database}.v_anomalies as
select
  org, alert_id, name as detector, state, severity, scope, title, root_cause, owner, started_at, updated_at, resolved_at,
  expected_usd, observed_usd, at_stake_usd, per_hour_usd, score
from {database}.anomalies order by revision desc limit 1 by org, alert_id;

create view if not exists {database}.v_savings as
select
  org, recommendation_id, kind, target, title, state, owner, monthly_saving_usd, low_usd, high_usd, confidence,
  realised_usd, first_seen_at, updated_at
from {database}.recommendations order by revision desc limit 1 by org, recommendation_id;
