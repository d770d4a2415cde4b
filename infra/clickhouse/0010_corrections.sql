-- A charge is never edited: what changes about it later is a correction, and it costs what it was rated plus those.
-- Rows are a function of the topic `corrections`; read again they are written again unchanged.
create table if not exists {database}.corrections (
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
  category LowCardinality(String),
  region LowCardinality(String),
  tier LowCardinality(String),
  call_status LowCardinality(String),
  incarnation LowCardinality(String) comment 'incarnation, partition, offset and item: which charge',
  partition UInt16,
  offset Int64,
  item Int32,
  revision UInt32 comment 'how often the charge has been corrected with this one',
  run_id String,
  reason LowCardinality(String) comment 'reprice: somebody asked for it; repair: a price arrived for what had none',
  known_at DateTime64(6, 'UTC') comment 'since when it is known',
  status_before LowCardinality(String),
  status_after LowCardinality(String),
  unpriced_reason_after LowCardinality(String),
  price_id_before LowCardinality(String),
  price_id_after LowCardinality(String),
  cost_before_usd Decimal(38, 12),
  cost_usd Decimal(38, 12) comment 'what it adds to the cost; negative where it takes away',
  priced_events Int8 comment 'what it adds to the count of priced events: -1, 0 or 1',
  partial_events Int8,
  unpriced_events Int8,
  log_incarnation LowCardinality(String) comment 'where the correction itself stands on its topic',
  log_partition UInt16,
  log_offset Int64
) engine = ReplacingMergeTree
partition by toYYYYMM(ts)
order by (incarnation, partition, offset, item, revision);

-- How far the topic `corrections` is in the table: everything up to `last` of a partition.
create table if not exists {database}.correction_positions (
  incarnation LowCardinality(String),
  partition UInt16,
  last Int64,
  written_at DateTime64(6, 'UTC') default now64(6)
) engine = ReplacingMergeTree(last)
order by (incarnation, partition);

-- 0011 adds it too; the view below needs it now.
alter table {database}.charges
  add column if not exists owner_reason LowCardinality(String) default ''
    comment 'which tags are unallocated or not in the registry: team missing; project unlisted; cost_center unknown: cc-9'
  after owner_source;

-- Finds the few charges without a complete price among all the others.
alter table {database}.charges add index if not exists rated_status status type set(4) granularity 1;

-- Charges as they stand: every column of the ledger, with cost, status and price as corrected.
create or replace view {database}.v_charges as
select
  c.org as org, c.event_id as event_id, c.ts as ts, c.team as team, c.project as project,
  c.environment as environment, c.cost_center as cost_center, c.service as service, c.feature as feature,
  c.user_id as user_id, c.api_key_id as api_key_id, c.provider as provider, c.model as model,
  c.reported_provider as reported_provider, c.reported_model as reported_model,
  c.operation as operation, c.category as category, c.region as region, c.tier as tier,
  if(k.revision = 0, c.status, k.status) as status,
  if(k.revision = 0, c.unpriced_reason, k.unpriced_reason) as unpriced_reason,
  c.call_status as call_status, c.owner_source as owner_source, c.owner_reason as owner_reason,
  if(k.revision = 0, c.price_id, k.price_id) as price_id,
  c.requests as requests, c.input_tokens as input_tokens, c.output_tokens as output_tokens,
  c.input_uncached_tokens as input_uncached_tokens, c.input_cache_read_tokens as input_cache_read_tokens,
  c.input_cache_write_5m_tokens as input_cache_write_5m_tokens,
  c.input_cache_write_1h_tokens as input_cache_write_1h_tokens,
  c.output_text_tokens as output_text_tokens, c.output_reasoning_tokens as output_reasoning_tokens,
  c.input_audio_tokens as input_audio_tokens, c.output_audio_tokens as output_audio_tokens,
  c.input_image_tokens as input_image_tokens,
  c.token_mismatch as token_mismatch,
  c.cost_usd + k.cost_usd as cost_usd,
  c.reported_cost_usd as reported_cost_usd, c.latency_ms as latency_ms, c.cache_hit as cache_hit,
  c.max_tokens as max_tokens, c.prompt_hash as prompt_hash, c.session_id as session_id, c.trace_id as trace_id,
  c.attributes as attributes,
  c.incarnation as incarnation, c.partition as partition, c.offset as offset, c.item as item,
  c.appended_at as appended_at, c.rated_at as rated_at,
  c.status as rated_status, c.price_id as rated_price_id, c.cost_usd as rated_cost_usd,
  k.revision as revision, k.corrected_at as corrected_at
from {database}.charges as c
left any join (
  select
    incarnation, partition, offset, item, max(r.revision) as revision, sum(r.cost_usd) as cost_usd,
    argMax(r.status_after, r.revision) as status, argMax(r.unpriced_reason_after, r.revision) as unpriced_reason,
    argMax(r.price_id_after, r.revision) as price_id, max(r.known_at) as corrected_at
  from {database}.corrections as r final
  group by incarnation, partition, offset, item
) as k on c.incarnation = k.incarnation and c.partition = k.partition and c.offset = k.offset and c.item = k.item;

create or replace view {database}.v_cost as
select
  org, ts, toDate(ts) as day, team, project, environment, cost_center, service, feature, provider, model, category,
  region, tier, requests, input_tokens, output_tokens, cost_usd, status, user_id, api_key_id, event_id, price_id
from {database}.v_charges;

-- The same as it was known at a moment: select … from v_cost_as_known(known_at = '2026-03-01 09:00:00').
create or replace view {database}.v_cost_as_known as
select
  c.org as org, c.ts as ts, toDate(c.ts) as day, c.team as team, c.project as project, c.environment as environment,
  c.cost_center as cost_center, c.service as service, c.feature as feature, c.provider as provider, c.model as model,
  c.category as category, c.region as region, c.tier as tier, c.requests as requests,
  c.input_tokens as input_tokens, c.output_tokens as output_tokens, c.cost_usd + k.cost_usd as cost_usd,
  if(k.revision = 0, c.status, k.status) as status, c.user_id as user_id, c.api_key_id as api_key_id,
  c.event_id as event_id, if(k.revision = 0, c.price_id, k.price_id) as price_id
from {database}.charges as c
left any join (
  select
    incarnation, partition, offset, item, max(r.revision) as revision, sum(r.cost_usd) as cost_usd,
    argMax(r.status_after, r.revision) as status, argMax(r.price_id_after, r.revision) as price_id
  from {database}.corrections as r final
  where r.known_at <= {known_at:DateTime64(6, 'UTC')}
  group by incarnation, partition, offset, item
) as k on c.incarnation = k.incarnation and c.partition = k.partition and c.offset = k.offset and c.item = k.item
where c.rated_at <= {known_at:DateTime64(6, 'UTC')};

create or replace view {database}.v_unpriced as
select
  org, provider, model, tier, unpriced_reason, count() as events, sum(requests) as requests,
  sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens, min(ts) as first_seen, max(ts) as last_seen
from {database}.v_charges
where status != 'priced'
group by org, provider, model, tier, unpriced_reason;

-- in = priced + partial + unpriced + duplicate + rejected, as it stands after all corrections.
create or replace view {database}.v_conservation as
select
  l.events_in as events_in, l.priced + k.priced as priced, l.partial + k.partial as partial,
  l.unpriced + k.unpriced as unpriced, l.duplicate as duplicate, l.rejected as rejected,
  events_in - priced - partial - unpriced - duplicate - rejected as difference
from (
  select
    sum(r.events) as events_in, sum(r.priced) as priced, sum(r.partial) as partial, sum(r.unpriced) as unpriced,
    sum(r.duplicate) as duplicate, sum(r.rejected) as rejected
  from {database}.ledger_ranges as r final
) as l
cross join (
  select sum(priced_events) as priced, sum(partial_events) as partial, sum(unpriced_events) as unpriced
  from {database}.corrections final
) as k;
