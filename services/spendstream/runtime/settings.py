"""Where a service finds Kafka, ClickHouse and its own files: the one place that reads the environment."""

import os
import ssl
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ADDRESSES = {"kafka_bootstrap": 19092, "clickhouse_url": 18123}  # and the default port of each


class ForeignStackError(Exception):
    """A default address leads to the stack of another home: nothing is read from it or written to it unasked."""


class Settings(BaseSettings):
    """Every option with its default and meaning; `spendstream run X --explain` prints this table."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    kafka_bootstrap: str = Field(
        f"127.0.0.1:{ADDRESSES['kafka_bootstrap']}",
        alias="KAFKA_BOOTSTRAP",
        description="Kafka brokers, host:port[,host:port]",
    )
    kafka_security_protocol: str = Field(
        "PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: str = Field(
        "PLAIN", alias="KAFKA_SASL_MECHANISM", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_username: str | None = Field(None, alias="KAFKA_USERNAME", description="SASL user")
    kafka_password: SecretStr | None = Field(None, alias="KAFKA_PASSWORD", description="SASL password")
    kafka_ca_file: Path | None = Field(None, alias="KAFKA_CA_FILE", description="CA certificates for TLS")
    kafka_session_timeout_ms: int = Field(
        6_000, alias="KAFKA_SESSION_TIMEOUT_MS", description="consumer group session timeout, milliseconds"
    )
    clickhouse_url: SecretStr = Field(
        SecretStr(f"http://127.0.0.1:{ADDRESSES['clickhouse_url']}"),
        alias="CLICKHOUSE_URL",
        description="ClickHouse HTTP endpoint, http[s]://user:password@host:port",
    )
    home: Path = Field(
        Path(".spendstream"),
        alias="SPENDSTREAM_HOME",
        description="folder for snapshots and the embedded stack",
    )
    log_level: str = Field("info", alias="SPENDSTREAM_LOG_LEVEL", description="debug, info, warning or error")
    log_format: str = Field("json", alias="SPENDSTREAM_LOG_FORMAT", description="json or console")
    http_port: int = Field(
        0, alias="SPENDSTREAM_HTTP_PORT", description="port of /healthz /readyz /metrics; 0 = any free port"
    )
    http_host: str = Field("127.0.0.1", alias="SPENDSTREAM_HTTP_HOST", description="address they listen on")
    linger_ms: int = Field(
        200,
        alias="SPENDSTREAM_LINGER_MS",
        description="how long a batch of usage may wait to grow, milliseconds",
    )
    batch_records: int = Field(60_000, alias="SPENDSTREAM_BATCH_RECORDS", description="records in a batch at most")
    allowed_lateness_s: int = Field(
        600,
        alias="SPENDSTREAM_ALLOWED_LATENESS_S",
        description="how long a minute stays open for late events, seconds",
    )
    dedup_horizon_s: int = Field(
        86_400, alias="SPENDSTREAM_DEDUP_HORIZON_S", description="how long an event id is remembered, seconds"
    )
    dedup_capacity: int = Field(
        50_000_000, alias="SPENDSTREAM_DEDUP_CAPACITY", description="event ids a service remembers at most"
    )
    caller_rows: bool = Field(
        True,
        alias="SPENDSTREAM_CALLER_ROWS",
        description="also publish costs per user and API key (user_10x needs them)",
    )
    attributes: str = Field(
        "token_mismatch,token_mismatch_reason",
        alias="SPENDSTREAM_ATTRIBUTES",
        description="names of usage attributes that reach `charges`, comma separated; no other leaves its event",
    )
    reject_limit: float = Field(
        0.5,
        alias="SPENDSTREAM_REJECT_LIMIT",
        description="share of rejected records over the last 10 000 that raises a pipeline alert",
    )

    @property
    def kept_attributes(self) -> frozenset[str]:
        """The allow-list of attributes."""
        return frozenset(name for part in self.attributes.split(",") if (name := part.strip()))

    @classmethod
    def load(cls) -> "Settings":
        """Settings from the environment; an address that is not given is that of the stack running in the home.

        `ValueError` for an unknown SPENDSTREAM_* variable, `ForeignStackError` where a default address would reach the
        embedded stack of another home.
        """
        from spendstream.runtime.stack.embedded import read_state  # noqa: PLC0415 - it is not needed where both are set
        from spendstream.runtime.stack.ports import claimed_by_other  # noqa: PLC0415

        settings = cls.given()
        missing = [field for field in ADDRESSES if field not in settings.model_fields_set]
        if not missing:
            return settings
        if (state := read_state(settings.home)) is not None:
            found = {"kafka_bootstrap": state.kafka_bootstrap, "clickhouse_url": SecretStr(state.clickhouse_url)}
            return settings.model_copy(update={field: found[field] for field in missing})
        for field in missing:
            if other := claimed_by_other(ADDRESSES[field], settings.home):
                raise ForeignStackError(
                    f"port {ADDRESSES[field]} belongs to the embedded stack in {other}, and none runs in"
                    f" {settings.home.resolve()}; set SPENDSTREAM_HOME={other} to use that one, or start one here with"
                    " `spendstream up`, or set KAFKA_BOOTSTRAP and CLICKHOUSE_URL"
                )
        return settings

    @classmethod
    def given(cls) -> "Settings":
        """Settings from the environment alone, for who starts a stack; `ValueError` for an unknown variable."""
        known = {str(field.alias) for field in cls.model_fields.values()}
        unknown = sorted(name for name in os.environ if name.startswith("SPENDSTREAM_") and name not in known)
        if unknown:
            raise ValueError(f"unknown setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        return cls()

    def kafka(self) -> dict[str, Any]:
        """Connection options every aiokafka client takes."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap,
            "security_protocol": self.kafka_security_protocol,
        }
        if self.kafka_security_protocol.endswith("SSL"):
            options["ssl_context"] = ssl.create_default_context(
                cafile=str(self.kafka_ca_file) if self.kafka_ca_file else None
            )
        if self.kafka_security_protocol.startswith("SASL") and self.kafka_password is not None:
            options["sasl_mechanism"] = self.kafka_sasl_mechanism
            options["sasl_plain_username"] = self.kafka_username
            options["sasl_plain_password"] = self.kafka_password.get_secret_value()
        return options

    def service_home(self, service: str) -> Path:
        """Folder of one service's snapshots (created)."""
        folder = self.home / service
        folder.mkdir(parents=True, exist_ok=True)
        return folder
