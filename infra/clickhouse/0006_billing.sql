-- Bills. A row is one version of one line; written again after a replay it is the same row. The newest version of a
-- line is what the bill says now, older ones are its history.
create table if not exists {database}.billing_items (
  org LowCardinality(String),
  provider_name LowCardinality(String),
  billing_period_start DateTime('UTC'),
  line_id String comment 'an id of the exporter, or a hash of the columns that tell lines apart',
  version Int64 comment 'when it was imported, microseconds: the newest wins',
  billing_period_end DateTime('UTC'),
  charge_period_start DateTime('UTC'),
  charge_period_end DateTime('UTC'),
  charge_category LowCardinality(String) comment 'Usage, Purchase, Tax, Credit, Adjustment or Refund',
  charge_class LowCardinality(String) comment 'Correction: of a charge that was invoiced before',
  charge_description String,
  service_name LowCardinality(String),
  service_category LowCardinality(String),
  publisher_name LowCardinality(String),
  invoice_issuer_name LowCardinality(String),
  billing_account_id LowCardinality(String),
  billing_account_name LowCardinality(String),
  sub_account_id LowCardinality(String),
  region_id LowCardinality(String),
  resource_id String,
  sku_id LowCardinality(String),
  pricing_quantity Nullable(Decimal(38, 12)),
  pricing_unit LowCardinality(String),
  consumed_quantity Nullable(Decimal(38, 12)),
  consumed_unit LowCardinality(String),
  pricing_currency LowCardinality(String) comment 'a virtual currency (Token) where the price is in one',
  pricing_currency_effective_cost Nullable(Decimal(38, 12)),
  commitment_discount_id String,
  commitment_discount_status LowCardinality(String),
  billed_cost Decimal(38, 12) comment 'USD: what is on the invoice',
  effective_cost Decimal(38, 12) comment 'USD: with commitments spread over what they paid for',
  list_cost Decimal(38, 12) comment 'USD at public prices',
  contracted_cost Decimal(38, 12) comment 'USD at negotiated prices, before commitments',
  billing_currency LowCardinality(String),
  fx_rate Decimal(38, 18) comment 'USD for one unit of billing_currency',
  fx_date LowCardinality(String) comment 'day of the rate, empty for USD',
  original_billed_cost Nullable(Decimal(76, 30)) comment 'exactly as on the bill, in billing_currency',
  original_effective_cost Nullable(Decimal(76, 30)),
  original_list_cost Nullable(Decimal(76, 30)),
  original_contracted_cost Nullable(Decimal(76, 30)),
  cost_decimals UInt8 comment 'decimals the costs are written with',
  tags Map(String, String),
  columns Map(String, String) comment 'every other column of the line, as text',
  team LowCardinality(String) comment 'from tags, else unallocated',
  project LowCardinality(String),
  environment LowCardinality(String),
  cost_center LowCardinality(String),
  provider LowCardinality(String) comment 'the name usage has for the provider',
  model LowCardinality(String) comment 'where the line names one',
  spend_category LowCardinality(String),
  billed_tokens Nullable(Decimal(38, 12)) comment 'where the unit is tokens',
  billed_requests Nullable(Decimal(38, 12)),
  content String comment 'digest of what the line says',
  source_file String comment 'SHA-256 of the file',
  source_row Int64 comment 'line of that file',
  incarnation LowCardinality(String),
  offset Int64
) engine = ReplacingMergeTree
partition by toYYYYMM(billing_period_start)
order by (org, provider_name, billing_period_start, line_id, version);

create or replace view {database}.v_bill as
select
  org, provider_name, provider, toDate(billing_period_start) as month, billing_period_start, billing_period_end,
  toDate(charge_period_start) as day, charge_period_start, charge_period_end, charge_category, charge_class,
  charge_description, service_name, service_category, spend_category, publisher_name, invoice_issuer_name,
  billing_account_id, billing_account_name, sub_account_id, region_id, resource_id, sku_id, model,
  pricing_quantity, pricing_unit, consumed_quantity, consumed_unit, billed_tokens, billed_requests,
  pricing_currency, pricing_currency_effective_cost, commitment_discount_id, commitment_discount_status,
  billed_cost, effective_cost, list_cost, contracted_cost, billing_currency, fx_rate, fx_date,
  original_billed_cost, original_effective_cost, original_list_cost, original_contracted_cost, cost_decimals,
  team, project, environment, cost_center, tags, columns, line_id, version, content, source_file, source_row
from {database}.billing_items
order by version desc
limit 1 by org, provider_name, billing_period_start, line_id;

create or replace view {database}.v_bill_history as
select
  org, provider_name, billing_period_start, line_id, version,
  fromUnixTimestamp64Micro(version, 'UTC') as imported_at,
  version = max(version) over (partition by org, provider_name, billing_period_start, line_id) as is_current,
  charge_category, service_name, charge_description, billed_cost, effective_cost, list_cost, contracted_cost,
  billing_currency, source_file, source_row
from {database}.billing_items final;
