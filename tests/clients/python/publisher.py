"""Publishes record changes of a register over gRPC, and checks each with stock protovalidate before it is sent.

usage: publisher.py --endpoint 127.0.0.1:7443 --certs DIR --register civil FILE.ndjson

FILE has one change a line, as `hub publish` takes it. Each outcome is printed. The exit code is 0 when the hub judged every change as
protovalidate did here, 1 when it did not, 2 when the hub could not be asked.

Made with stock tools from the .proto files that `hub contracts export --dir contracts` writes:
  python -m grpc_tools.protoc -I contracts --python_out=gen --grpc_python_out=gen $(find contracts -name '*.proto')
"""

import argparse
import importlib
import json
import pathlib
import sys
import time

import grpc
import protovalidate
from google.protobuf import json_format, message_factory, timestamp_pb2
from hub.contract.v1 import options_pb2
from hub.ingest.v1 import ingest_pb2, ingest_pb2_grpc

BATCH_CHANGES = 100
TRIES = 6


def record_types(register):
    """The messages of a register's contract by the names that the hub knows them by."""
    contract = importlib.import_module(f"hub.register.{register}.v1.{register}_pb2").DESCRIPTOR
    found = {}
    for message in contract.message_types_by_name.values():
        name = message.GetOptions().Extensions[options_pb2.record_type].name
        if name:
            found[name] = message_factory.GetMessageClass(message)
    return found


def timestamp(text):
    stamp = timestamp_pb2.Timestamp()
    stamp.FromJsonString(text)
    return stamp


def change_of(line, types):
    """A change, and its record."""
    record = json_format.ParseDict(line["record"], types[line["record_type"]]())
    change = ingest_pb2.Change(
        record_id=line["record_id"],
        version=line["version"],
        operation=ingest_pb2.OPERATION_UPSERT,
        record_type=line["record_type"],
        effective_at=timestamp(line["effective_at"]),
        registered_at=timestamp(line["registered_at"]),
        payload=record.SerializeToString(),
    )
    return change, record


def broken_rules(record):
    """What stock protovalidate says: (field, rule)."""
    return {(field_of(v.proto), v.proto.rule_id) for v in protovalidate.collect_violations(record)}


def field_of(violation):
    names = []
    for element in violation.field.elements:
        index = f"[{element.index}]" if element.WhichOneof("subscript") == "index" else ""
        names.append(element.field_name + index)
    return ".".join(names)


def judged(outcome):
    """What the hub says: its word, and (field, rule) of each rule that the record breaks."""
    word = outcome.WhichOneof("outcome")
    said = getattr(outcome, word)
    broken = said.violations if word == "rejected" else said.findings if word == "accepted" else []
    # The hub's own rules, which no stock tool knows, begin with "hub.".
    return word, {(v.field_path, v.rule_id) for v in broken if not v.rule_id.startswith("hub.")}


def batches(register, changes):
    for start in range(0, len(changes), BATCH_CHANGES):
        batch = ingest_pb2.Batch(sequence=start, register=register, changes=changes[start : start + BATCH_CHANGES])
        batch.published_at.GetCurrentTime()
        yield ingest_pb2.PublishRequest(batch=batch)


def publish(stub, register, changes):
    """The outcome of each change. What breaks off is sent again: the hub knows what it has."""
    for attempt in range(TRIES):
        try:
            answers = stub.Publish(batches(register, changes), timeout=60)
            return [outcome for answer in answers for outcome in answer.result.outcomes]
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or attempt + 1 == TRIES:
                raise
            time.sleep(0.5 * 2**attempt)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--certs", type=pathlib.Path, required=True)
    parser.add_argument("--register", required=True)
    parser.add_argument("file", type=pathlib.Path)
    args = parser.parse_args()
    types = record_types(args.register)
    lines = [json.loads(line) for line in args.file.read_text(encoding="utf-8").splitlines()]
    changes, records = zip(*(change_of(line, types) for line in lines))

    name = f"register-{args.register}"
    files = [args.certs / "ca.pem", args.certs / f"{name}.key", args.certs / f"{name}.pem"]
    credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))
    with grpc.secure_channel(args.endpoint, credentials) as channel:
        try:
            outcomes = publish(ingest_pb2_grpc.IngestServiceStub(channel), args.register, changes)
        except grpc.RpcError as error:
            print(f"publisher: {error.code().name}: {error.details()}", file=sys.stderr)
            sys.exit(2)
    differing = 0
    for change, record, outcome in zip(changes, records, outcomes, strict=True):
        word, said = judged(outcome)
        mine = broken_rules(record)
        rules = ", ".join(f"{field or 'record'}: {rule}" for field, rule in sorted(said))
        print(f"{change.record_id}: {word} {rules}".rstrip())
        if word != "duplicate" and mine != said:
            differing += 1
            print(f"  protovalidate says otherwise: {sorted(mine)}", file=sys.stderr)
    print(f"{len(outcomes)} changes, {differing} judged otherwise by protovalidate")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
