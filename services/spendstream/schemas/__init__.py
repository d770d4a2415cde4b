"""Everything on the wire, read from `schemas/*.avsc` and `schemas/topics.yaml`: the one place it is declared."""

from spendstream.schemas.catalogue import Topic, record_schema, schema_ids, topics
from spendstream.schemas.codec import (
    Undecodable,
    decode,
    decode_plain,
    earlier_frames,
    encode,
    encode_plain,
    frame,
    frame_id,
)

__all__ = [
    "Topic",
    "Undecodable",
    "decode",
    "decode_plain",
    "earlier_frames",
    "encode",
    "encode_plain",
    "frame",
    "frame_id",
    "record_schema",
    "schema_ids",
    "topics",
]
