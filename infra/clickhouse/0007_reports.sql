-- Reports: what a month, a team, a service costs, and the FOCUS export.
--
-- A charge carries its amount and price id; the card of that price says the rest: what each token class costs, before
-- and after discount and margin. Attribution writes a card before the first charge that needs it;
-- they are few, and kept for ever.
create table if not exists {database}.rate_cards (
  org LowCardinality(String),
  price_id String,
  tier LowCardinality(String) comment 'service tier',
  above Array(Int64) comment 'context thresholds, ascending: input tokens per request',
  pico_per_token Array(Array(Nullable(Int64))) comment 'base row, then one per threshold; classes in the order of charges',
  pico_per_request Int64,
  list_numerator Int64 comment 'factor of the service tier alone',
  list_denominator Int64,
  contracted_numerator Int64 comment 'and of the discount',
  contracted_denominator Int64,
  billed_numerator Int64 comment 'and of the margin',
  billed_denominator Int64,
  written_at DateTime64(6, 'UTC') default now64(6)
) engine = ReplacingMergeTree(written_at)
order by (org, price_id, tier);

create view if not exists {database}.v_breakdown_month as
select
  org, toStartOfMonth(day) as month, team, project, environment, cost_center, service, feature, provider, model,
  category, sum(requests) as requests, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
  countIf(status = 'unpriced') as unpriced_events, countIf(status = 'partial') as partial_events,
  sum(cost_usd) as cost_usd
from {database}.v_cost
group by org, month, team, project, environment, cost_center, service, feature, provider, model, category;
