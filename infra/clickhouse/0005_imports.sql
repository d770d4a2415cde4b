-- What operators have done once and for ever: files that were imported, dead letters that were published again.
create table if not exists {database}.imports (
  kind LowCardinality(String) comment 'what was imported: usage',
  digest String comment 'SHA-256 of the file',
  file String comment 'the name it had',
  format LowCardinality(String),
  state LowCardinality(String) comment 'begun: rows may be on the topic; sent: all are, at ranges; done: all are in charges',
  rows Int64 comment 'good rows of the file',
  bad_rows Int64,
  ranges Array(Tuple(String, UInt16, Int64, Int64)) comment 'incarnation, partition, first and last offset',
  updated_at DateTime64(6, 'UTC')
) engine = ReplacingMergeTree(updated_at)
order by (kind, digest);

create table if not exists {database}.dead_letter_replays (
  topic LowCardinality(String),
  incarnation LowCardinality(String),
  partition UInt16,
  offset Int64,
  item Int32,
  replayed_at DateTime64(6, 'UTC')
) engine = ReplacingMergeTree(replayed_at)
order by (topic, incarnation, partition, offset, item)
ttl toDateTime(replayed_at) + interval 30 day;
