-- GPUs: what each reading said, what it cost, and whose every share of it was.
-- A device has one reading at one moment: whoever writes looks first, so the reading and the rating that came first stay.

-- What was said: a function of the record alone.
create table if not exists {database}.gpu_samples (
  org LowCardinality(String),
  gpu_uuid String comment 'the device, or a MIG instance that reports for itself',
  ts DateTime64(6, 'UTC') comment 'end of the interval',
  interval_ms Int64,
  declared_interval_ms Int64 comment 'how often the source promises to sample',
  gap UInt8 comment '1: longer than twice what was declared, billed to nobody',
  device_uuid String comment 'the physical device',
  hostname LowCardinality(String),
  gpu_model LowCardinality(String),
  fraction Float64 comment 'of the physical device',
  fraction_from Nullable(Float64) comment 'where a slice begins on it',
  utilization Nullable(Float64),
  sm_active Nullable(Float64),
  engine_active Nullable(Float64),
  tensor_active Nullable(Float64),
  dram_active Nullable(Float64),
  memory_used_bytes Nullable(Int64),
  memory_total_bytes Nullable(Int64),
  power_watts Nullable(Float64),
  energy_millijoules Nullable(Int64),
  temperature_celsius Nullable(Float64),
  throttle_reasons LowCardinality(String),
  labels Map(String, String),
  incarnation LowCardinality(String),
  partition UInt16,
  offset Int64,
  appended_at DateTime64(3, 'UTC') comment 'when the broker took it',
  rated_at DateTime64(6, 'UTC') default now64(6)
) engine = ReplacingMergeTree
partition by toYYYYMM(ts)
order by (org, gpu_uuid, ts)
ttl toDateTime(rated_at) + interval 400 day;

-- What it cost: a row a reading, with all its shares, so that no reading is ever half written. Rows are only added. A
-- correction is a row with the next revision; the row it corrects comes once more, with the moment it stopped counting.
create table if not exists {database}.gpu_costs (
  org LowCardinality(String),
  gpu_uuid String,
  ts DateTime64(6, 'UTC') comment 'end of the interval',
  revision UInt32 comment 'how often it has been corrected: 0 is as it was rated first',
  interval_ms Int64,
  device_uuid String,
  hostname LowCardinality(String),
  gpu_model LowCardinality(String),
  region LowCardinality(String) comment 'that its price may depend on',
  fraction Float64,
  fraction_from Nullable(Float64),
  status LowCardinality(String) comment 'priced or unpriced',
  unpriced_reason LowCardinality(String),
  price_id LowCardinality(String),
  cost_usd Decimal(38, 12) comment 'of the reading: its shares add up to it',
  shares Nested(
    mig_instance LowCardinality(String),
    namespace LowCardinality(String),
    pod String,
    container LowCardinality(String),
    job String,
    team LowCardinality(String),
    project LowCardinality(String),
    environment LowCardinality(String),
    cost_center LowCardinality(String),
    service LowCardinality(String),
    owner_source LowCardinality(String),
    kind LowCardinality(String),
    share Float64,
    weight Int64,
    cost_usd Decimal(38, 12)
  ) comment 'weight / sum of the weights is the exact share of the reading; share is of the physical device',
  status_before LowCardinality(String) comment 'of the revision before; empty for the first',
  price_id_before LowCardinality(String),
  cost_before_usd Decimal(38, 12),
  run_id String comment 'which run corrected it',
  reason LowCardinality(String) comment 'reprice: somebody asked for it; repair: a price arrived for what had none',
  known_at DateTime64(6, 'UTC') default rated_at comment 'since when this revision is known',
  superseded_at DateTime64(6, 'UTC') default 0 comment 'since when the next one counts; 1970: this one counts',
  control_offset Int64 comment 'control documents below it were known when it was rated first',
  rated_at DateTime64(6, 'UTC') default now64(6) comment 'when it was rated first',
  index unpriced status type set(4) granularity 1
) engine = ReplacingMergeTree(superseded_at)
partition by toYYYYMM(ts)
order by (org, gpu_uuid, ts, revision)
ttl toDateTime(rated_at) + interval 400 day;

-- Shares of every revision of every reading.
create view if not exists {database}.v_gpu_cost_revisions as
select
  org, ts, toDate(ts) as day, interval_ms, gpu_uuid, device_uuid, s.mig_instance as mig_instance, hostname, gpu_model,
  s.namespace as namespace, s.pod as pod, s.container as container, s.job as job, s.team as team,
  s.project as project, s.environment as environment, s.cost_center as cost_center, s.service as service,
  s.owner_source as owner_source, s.kind as kind,
  multiIf(kind = 'idle', 'idle', kind = 'idle_owner', concat('idle:', team), toString(team)) as bucket,
  s.share as share, share * interval_ms / 3600000 as gpu_hours, s.cost_usd as cost_usd, status, unpriced_reason,
  price_id, revision, known_at, superseded_at
from {database}.gpu_costs final
array join shares as s;

create view if not exists {database}.v_gpu_cost as
select * except (known_at, superseded_at) from {database}.v_gpu_cost_revisions
where superseded_at = toDateTime64(0, 6, 'UTC');

-- The same as it was known at a moment: select … from v_gpu_cost_as_known(known_at = '2026-03-01 09:00:00').
create view if not exists {database}.v_gpu_cost_as_known as
select r.* except (known_at, superseded_at) from {database}.v_gpu_cost_revisions as r
where r.known_at <= {known_at:DateTime64(6, 'UTC')}
  and (r.superseded_at = toDateTime64(0, 6, 'UTC') or r.superseded_at > {known_at:DateTime64(6, 'UTC')});

create view if not exists {database}.v_gpu_corrections as
select
  org, ts, gpu_uuid, gpu_model, region, revision, run_id, reason, known_at, status_before, status as status_after,
  unpriced_reason as unpriced_reason_after, price_id_before, price_id as price_id_after, cost_before_usd,
  cost_usd - cost_before_usd as added_usd
from {database}.gpu_costs final
where revision > 0;

-- Readings that still have no price. Asked without `final`, so that the index finds them: a row and the same row with
-- the moment it stopped counting are taken together here.
create view if not exists {database}.v_gpu_unpriced_readings as
select
  org, gpu_uuid, ts, revision, any(r.gpu_model) as gpu_model, any(r.region) as region, any(r.interval_ms) as interval_ms,
  any(r.fraction) as fraction, any(r.fraction_from) as fraction_from, any(r.unpriced_reason) as unpriced_reason
from {database}.gpu_costs as r
where status = 'unpriced'
group by org, gpu_uuid, ts, revision
having max(r.superseded_at) = toDateTime64(0, 6, 'UTC');

create view if not exists {database}.v_gpu_unpriced as
select
  org, gpu_model, unpriced_reason, count() as samples, sum(interval_ms * fraction) / 3600000 as gpu_hours,
  min(ts) as first_seen, max(ts) as last_seen
from {database}.v_gpu_unpriced_readings
group by org, gpu_model, unpriced_reason;

-- Time nobody is billed for: readings more than twice their declared interval apart, or standing for longer than that.
create view if not exists {database}.v_gpu_gaps as
select
  org, gpu_uuid, hostname, gpu_model, gap_start, gap_end, dateDiff('millisecond', gap_start, gap_end) as gap_ms,
  declared_interval_ms
from (
  select
    org, gpu_uuid, hostname, gpu_model, ts, declared_interval_ms,
    lagInFrame(ts, 1, ts - toIntervalMillisecond(interval_ms)) over (
      partition by org, gpu_uuid order by ts rows between unbounded preceding and current row) as gap_start,
    if(gap, ts, ts - toIntervalMillisecond(interval_ms)) as gap_end
  from {database}.gpu_samples final
)
where gap_end > gap_start and dateDiff('millisecond', gap_start, ts) > 2 * declared_interval_ms;

-- Time of a device that more than one reading stands for, and is billed for: two samplers, or an interval set too long.
create view if not exists {database}.v_gpu_overlaps as
select
  org, toDate(ts) as day, gpu_uuid, any(hostname) as hostname, any(gpu_model) as gpu_model, count() as readings,
  sum(dateDiff('millisecond', begins, before)) as overlap_ms
from (
  select
    org, gpu_uuid, hostname, gpu_model, ts, ts - toIntervalMillisecond(interval_ms) as begins,
    lagInFrame(ts, 1, begins) over (
      partition by org, gpu_uuid order by ts rows between unbounded preceding and current row) as before
  from {database}.gpu_samples final
  where not gap
)
where before > begins
group by org, day, gpu_uuid;

-- What self-hosting costs, beside what an API would charge for the same tokens. Tokens of a service that ran on several
-- GPU models go to each by the hours it used there. `api_usd`: at the newest Price document of the same model from a
-- provider that hosts it, list price of input and output; null where there is none for one of the models.
create view if not exists {database}.v_gpu_efficiency as
with
  gpu as (
    select
      org, day, gpu_model, team, service,
      sum(gpu_hours) as hours, sumIf(gpu_hours, kind = 'used') as used_hours,
      sum(cost_usd) as usd, sumIf(cost_usd, kind = 'used') as used_usd,
      sumIf(gpu_hours, status = 'unpriced') as unpriced_hours,
      sumIf(gpu_hours, status = 'unpriced' and kind = 'used') as unpriced_used_hours
    from {database}.v_gpu_cost
    group by org, day, gpu_model, team, service
  ),
  ran as (
    select org, day, team, service, sum(used_hours) as all_used_hours, count() as gpu_models from gpu
    group by org, day, team, service
  ),
  price as (
    select
      org, JSONExtractString(spec, 'model') as model,
      argMax(JSONExtractString(spec, 'usd_per_million_tokens', 'input', '$decimal'), (effective_from, revision)) as text_in,
      argMax(JSONExtractString(spec, 'usd_per_million_tokens', 'output', '$decimal'), (effective_from, revision)) as text_out,
      argMax(JSONExtractInt(spec, 'usd_per_million_tokens', 'input'), (effective_from, revision)) as whole_in,
      argMax(JSONExtractInt(spec, 'usd_per_million_tokens', 'output'), (effective_from, revision)) as whole_out,
      toDecimal128OrZero(text_in, 12) + whole_in as usd_in, toDecimal128OrZero(text_out, 12) + whole_out as usd_out
    from {database}.prices final
    where model != '' and JSONHas(spec, 'usd_per_million_tokens')
      and JSONExtractString(spec, 'provider') not in ('self-hosted', 'self_hosted', 'vllm', 'ollama')
    group by org, model
  ),
  tokens as (
    select
      cost.org as org, cost.day as day, cost.team as team, cost.service as service,
      sum(cost.input_tokens) as tokens_in, sum(cost.output_tokens) as tokens_out,
      if(countIf(price.model = '') = 0,
        sum((cost.input_tokens * price.usd_in + cost.output_tokens * price.usd_out) / 1000000), null) as api_usd
    from {database}.v_cost as cost
    left join price on price.org = cost.org and price.model = cost.model
    where category = 'compute_inference'
    group by org, day, team, service
  )
select
  gpu.org as org, gpu.day as day, gpu.gpu_model as gpu_model, gpu.team as team, gpu.service as service,
  gpu.hours as allocated_hours, gpu.used_hours as used_hours,
  gpu.used_hours / nullIf(gpu.hours, 0) as utilisation,
  gpu.usd as allocated_usd, gpu.used_usd as used_usd, gpu.usd - gpu.used_usd as waste_usd,
  toFloat64(gpu.usd) / nullIf(gpu.hours - gpu.unpriced_hours, 0) as usd_per_hour,
  toFloat64(gpu.usd) / nullIf(gpu.used_hours - gpu.unpriced_used_hours, 0) as effective_usd_per_hour,
  if(ran.all_used_hours > 0, gpu.used_hours / ran.all_used_hours, 1 / ran.gpu_models) as part_of_service,
  tokens.tokens_in * part_of_service as input_tokens, tokens.tokens_out * part_of_service as output_tokens,
  if(gpu.unpriced_hours > 0, null, nullIf(input_tokens + output_tokens, 0) / 1000000) as priced_million_tokens,
  toFloat64(gpu.used_usd) / priced_million_tokens as used_usd_per_million_tokens,
  toFloat64(gpu.usd) / priced_million_tokens as allocated_usd_per_million_tokens,
  toFloat64(tokens.api_usd) * part_of_service as api_usd,
  1000000 * toFloat64(tokens.api_usd) / nullIf(tokens.tokens_in + tokens.tokens_out, 0) as api_usd_per_million_tokens,
  gpu.unpriced_hours as unpriced_hours, gpu.unpriced_used_hours as unpriced_used_hours
from gpu
inner join ran on ran.org = gpu.org and ran.day = gpu.day and ran.team = gpu.team and ran.service = gpu.service
left join tokens on tokens.org = gpu.org and tokens.day = gpu.day and tokens.team = gpu.team
  and tokens.service = gpu.service and gpu.service != '';
