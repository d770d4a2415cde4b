-- What the other topics say, projected: every row is written again unchanged when a topic is read again.
create table if not exists {database}.dead_letters (
  topic LowCardinality(String),
  incarnation LowCardinality(String),
  partition UInt16,
  offset Int64,
  item Int32,
  reason LowCardinality(String),
  detail String,
  service LowCardinality(String),
  org LowCardinality(String),
  event_id String,
  appended_at Nullable(DateTime64(6, 'UTC')),
  key Nullable(String),
  payload Nullable(String),
  truncated Bool,
  rejected_at DateTime64(6, 'UTC')
) engine = ReplacingMergeTree(rejected_at)
order by (topic, incarnation, partition, offset, item)
ttl toDateTime(rejected_at) + interval 14 day;

create table if not exists {database}.alerts (
  org LowCardinality(String),
  alert_id String,
  revision Int64,
  kind LowCardinality(String),
  name LowCardinality(String),
  state LowCardinality(String),
  severity LowCardinality(String),
  scope Map(String, String),
  title String,
  description String,
  owner LowCardinality(String),
  started_at DateTime64(6, 'UTC'),
  updated_at DateTime64(6, 'UTC'),
  resolved_at Nullable(DateTime64(6, 'UTC')),
  window_start Nullable(DateTime64(6, 'UTC')),
  window_end Nullable(DateTime64(6, 'UTC')),
  emitted_at DateTime64(6, 'UTC'),
  level Nullable(Float64),
  limit_usd Nullable(Decimal(38, 12)),
  observed_usd Nullable(Decimal(38, 12)),
  expected_usd Nullable(Decimal(38, 12)),
  at_stake_usd Decimal(38, 12),
  per_hour_usd Nullable(Decimal(38, 12)),
  score Nullable(Float64),
  root_cause String,
  link String,
  runbook String,
  late Bool
) engine = ReplacingMergeTree
order by (org, alert_id, revision);

create table if not exists {database}.anomalies as {database}.alerts
engine = ReplacingMergeTree
order by (org, alert_id, revision);

create table if not exists {database}.budget_status (
  org LowCardinality(String),
  budget LowCardinality(String),
  scope Map(String, String),
  window_start DateTime64(6, 'UTC'),
  window_end DateTime64(6, 'UTC'),
  amount_usd Decimal(38, 12),
  spent_usd Decimal(38, 12),
  share Float64,
  forecast_usd Nullable(Decimal(38, 12)),
  state LowCardinality(String),
  severity LowCardinality(String),
  updated_at DateTime64(6, 'UTC')
) engine = ReplacingMergeTree(updated_at)
order by (org, budget, window_start);

create table if not exists {database}.recommendations (
  org LowCardinality(String),
  recommendation_id String,
  revision Int64,
  kind LowCardinality(String),
  target Map(String, String),
  title String,
  explanation String,
  evidence_query String,
  evidence Map(String, String),
  monthly_saving_usd Decimal(38, 12),
  low_usd Decimal(38, 12),
  high_usd Decimal(38, 12),
  confidence Float64,
  effort LowCardinality(String),
  risk LowCardinality(String),
  owner LowCardinality(String),
  state LowCardinality(String),
  first_seen_at DateTime64(6, 'UTC'),
  updated_at DateTime64(6, 'UTC'),
  realised_usd Nullable(Decimal(38, 12))
) engine = ReplacingMergeTree
order by (org, recommendation_id, revision);

create table if not exists {database}.prices (
  org LowCardinality(String),
  name String,
  effective_from DateTime64(6, 'UTC'),
  revision Int64,
  known_at DateTime64(6, 'UTC'),
  spec String,
  author String,
  control_offset Int64
) engine = ReplacingMergeTree
order by (org, name, effective_from, revision);

create table if not exists {database}.audit_log (
  control_offset Int64,
  at DateTime64(6, 'UTC'),
  org LowCardinality(String),
  author String,
  action LowCardinality(String) comment 'apply or delete',
  kind LowCardinality(String),
  name String,
  revision Int64,
  spec String
) engine = ReplacingMergeTree
order by control_offset;
