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

-- Time of a device that more than one reading stands for, and is billed for: two samplers, or an interval set too long;
-- and time for which the slices of a device, or a device and its slices, report more than all of it. Day by day.
create view if not exists {database}.v_gpu_overlaps as
select
  org, toDate(ts) as day, gpu_uuid, any(hostname) as hostname, any(gpu_model) as gpu_model, count() as readings,
  sum(dateDiff('millisecond', begins, before)) as overlap_ms
from (
  select
    org, gpu_uuid, hostname, gpu_model, ts, ts - toIntervalMillisecond(interval_ms) as begins,
    lagInFrame(ts, 1, begins) over (
      partition by org, gpu_uuid, toDate(ts) order by ts rows between unbounded preceding and current row) as before
  from {database}.gpu_samples final
  where not gap
)
where before > begins
group by org, day, gpu_uuid
union all
select
  org, day, device_uuid as gpu_uuid, any(hostname) as hostname, any(gpu_model) as gpu_model, count() as readings,
  toInt64(round(sum((taken - 1) * dateDiff('millisecond', moment, until)))) as overlap_ms
from (
  select
    org, toDate(ts) as day, device_uuid, hostname, gpu_model, edge.1 as moment,
    sum(edge.2) over (
      partition by org, device_uuid, toDate(ts) order by edge.1 rows between unbounded preceding and current row) as taken,
    leadInFrame(edge.1, 1, edge.1) over (
      partition by org, device_uuid, toDate(ts) order by edge.1
      rows between unbounded preceding and unbounded following) as until,
    max(gpu_uuid != device_uuid) over (partition by org, device_uuid, toDate(ts)) as in_slices
  from {database}.gpu_samples final
  array join [(ts - toIntervalMillisecond(interval_ms), fraction), (ts, -fraction)] as edge
  where not gap
)
where in_slices and taken > 1.000001 and until > moment
group by org, day, device_uuid;

-- What tokens of a model cost at providers that host it: list prices of input and output by the Price documents as they
-- are now, each with the time it is in force; a document that was deleted is left out.
create view if not exists {database}.v_api_prices as
select
  org, provider, model, region, starts, least(declared_end, next_start) as ends, usd_in, usd_out, name
from (
  select
    p.org as org, JSONExtractString(p.spec, 'provider') as provider, JSONExtractString(p.spec, 'model') as model,
    JSONExtractString(p.spec, 'region') as region, p.name as name, p.effective_from as starts,
    parseDateTime64BestEffortOrNull(JSONExtractString(p.spec, 'effective_to'), 6, 'UTC') as said_end,
    ifNull(said_end, toDateTime64('2299-12-31 23:59:59', 6, 'UTC')) as declared_end,
    leadInFrame(p.effective_from, 1, toDateTime64('2299-12-31 23:59:59', 6, 'UTC')) over (
      partition by org, provider, model, region order by starts
      rows between unbounded preceding and unbounded following) as next_start,
    toDecimal128OrZero(JSONExtractString(p.spec, 'usd_per_million_tokens', 'input', '$decimal'), 12)
      + JSONExtractInt(p.spec, 'usd_per_million_tokens', 'input') as usd_in,
    toDecimal128OrZero(JSONExtractString(p.spec, 'usd_per_million_tokens', 'output', '$decimal'), 12)
      + JSONExtractInt(p.spec, 'usd_per_million_tokens', 'output') as usd_out
  from (
    select * from {database}.prices final order by revision desc, known_at desc limit 1 by org, name, effective_from
  ) as p
  where model != '' and JSONHas(p.spec, 'usd_per_million_tokens')
    and provider not in ('self-hosted', 'self_hosted', 'vllm', 'ollama')
    and (p.org, concat(p.name, '/', toString(toUnixTimestamp64Micro(p.effective_from)), '/', toString(p.revision)))
      not in (select org, name from {database}.audit_log final where kind = 'Price' and action = 'delete')
);

-- What self-hosting costs, beside what an API would charge for the same tokens. Tokens of a service that ran on several
-- GPU models go to each by the hours it used there. `api_usd`: by the prices in force in the minute of the call, at the
-- cheapest provider that hosts the model; null where none does for one of the models.
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
  offers as (
    select
      org, model, arraySort(arrayDistinct(arrayConcat(groupArray(starts), groupArray(ends)))) as moments,
      groupArray((starts, ends, usd_in, usd_out)) as offers
    from {database}.v_api_prices
    group by org, model
  ),
  called as (
    select
      org, day, team, service, model, toStartOfMinute(ts) as minute,
      sum(input_tokens) as tokens_in, sum(output_tokens) as tokens_out
    from {database}.v_cost
    where category = 'compute_inference'
    group by org, day, team, service, model, minute
  ),
  elsewhere as (
    select
      called.org as org, called.day as day, called.team as team, called.service as service, called.model as model,
      arrayCount(moment -> moment <= called.minute, offers.moments) as period,
      sum(called.tokens_in) as tokens_in, sum(called.tokens_out) as tokens_out,
      arrayFilter(offer -> offer.1 <= offers.moments[period] and offers.moments[period] < offer.2, any(offers.offers))
        as in_force,
      if(empty(in_force), null, arrayMin(offer -> tokens_in * offer.3 + tokens_out * offer.4, in_force) / 1000000)
        as usd
    from called
    left join offers on offers.org = called.org and offers.model = called.model
    group by org, day, team, service, model, period, offers.moments
  ),
  tokens as (
    select
      org, day, team, service, sum(e.tokens_in) as tokens_in, sum(e.tokens_out) as tokens_out,
      if(countIf(e.usd is null) = 0, sum(e.usd), null) as api_usd
    from elsewhere as e
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
