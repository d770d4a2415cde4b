-- Cumulative roll-ups: a row is a function of a prefix of the log, its version is the last offset of that prefix.
-- Rewriting a row after a replay writes the same value; the views below read the newest version of each.
create table if not exists {database}.cost_by_minute (
  org LowCardinality(String),
  minute DateTime('UTC'),
  team LowCardinality(String),
  project LowCardinality(String),
  environment LowCardinality(String),
  cost_center LowCardinality(String),
  service LowCardinality(String),
  feature LowCardinality(String),
  provider LowCardinality(String),
  model LowCardinality(String),
  category LowCardinality(String),
  region LowCardinality(String),
  tier LowCardinality(String),
  incarnation LowCardinality(String),
  source_partition UInt16,
  epoch Int64,
  last_offset Int64,
  events Int64,
  requests Int64,
  error_requests Int64,
  cache_hits Int64,
  priced_events Int64,
  partial_events Int64,
  unpriced_events Int64,
  input_uncached_tokens Int64,
  input_cache_read_tokens Int64,
  input_cache_write_5m_tokens Int64,
  input_cache_write_1h_tokens Int64,
  output_text_tokens Int64,
  output_reasoning_tokens Int64,
  input_audio_tokens Int64,
  output_audio_tokens Int64,
  input_image_tokens Int64,
  cost_usd Decimal(38, 12),
  error_cost_usd Decimal(38, 12),
  latency_ms_sum Int64,
  uncapped_requests Int64,
  late Bool
) engine = ReplacingMergeTree(last_offset)
partition by toYYYYMM(minute)
order by (org, minute, team, project, environment, cost_center, service, feature, provider, model, category, region,
          tier, incarnation, source_partition, epoch, late);

create table if not exists {database}.caller_cost_by_minute (
  org LowCardinality(String),
  minute DateTime('UTC'),
  team LowCardinality(String),
  service LowCardinality(String),
  model LowCardinality(String),
  user_id String,
  api_key_id LowCardinality(String),
  incarnation LowCardinality(String),
  source_partition UInt16,
  epoch Int64,
  last_offset Int64,
  events Int64,
  requests Int64,
  error_requests Int64,
  cost_usd Decimal(38, 12),
  late Bool
) engine = ReplacingMergeTree(last_offset)
partition by toYYYYMM(minute)
order by (org, minute, team, service, model, user_id, api_key_id, incarnation, source_partition, epoch, late);
