-- The ledger: one row per priced usage event, and one row per range of the log that is in it.
-- Inserts are whole planned ranges with the range's own token, so a repeated insert changes nothing.
create table if not exists {database}.charges (
  org LowCardinality(String),
  event_id String,
  ts DateTime64(6, 'UTC'),
  team LowCardinality(String),
  project LowCardinality(String),
  environment LowCardinality(String),
  cost_center LowCardinality(String),
  service LowCardinality(String),
  feature LowCardinality(String),
  user_id String,
  api_key_id LowCardinality(String),
  provider LowCardinality(String),
  model LowCardinality(String),
  operation LowCardinality(String),
  category LowCardinality(String),
  region LowCardinality(String),
  tier LowCardinality(String),
  status LowCardinality(String) comment 'priced, partial or unpriced',
  unpriced_reason LowCardinality(String),
  call_status LowCardinality(String) comment 'ok or an error class',
  owner_source LowCardinality(String) comment 'event, registry or unallocated: where the owner came from',
  price_id LowCardinality(String),
  requests Int64,
  input_tokens Int64 comment 'all input buckets',
  output_tokens Int64 comment 'all output buckets',
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
  reported_cost_usd Nullable(Decimal(38, 12)),
  latency_ms Int64,
  cache_hit Bool,
  max_tokens Nullable(Int64),
  prompt_hash String,
  session_id String,
  trace_id String,
  incarnation LowCardinality(String),
  partition UInt16,
  offset Int64,
  item Int32 comment 'place in a producer-side batch, -1 for a single record',
  appended_at DateTime64(3, 'UTC') comment 'when the broker took the event',
  rated_at DateTime64(6, 'UTC') default now64(6) comment 'when the row was written',
  index position offset type minmax granularity 1
) engine = MergeTree
partition by toYYYYMM(ts)
order by (org, team, service, model, ts)
ttl toDateTime(rated_at) + interval 400 day
settings non_replicated_deduplication_window = 10000;

create table if not exists {database}.ledger_ranges (
  incarnation LowCardinality(String),
  partition UInt16,
  first Int64,
  last Int64,
  plan_at Int64,
  control_offset Int64,
  events Int64,
  priced Int64,
  partial Int64,
  unpriced Int64,
  duplicate Int64,
  rejected Int64,
  written_at DateTime64(6, 'UTC') default now64(6)
) engine = ReplacingMergeTree(written_at)
order by (incarnation, partition, first);
