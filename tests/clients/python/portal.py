"""A portal that asks for one person's attributes, for a procedure and a case, and shows each with its source.

usage: portal.py --endpoint https://127.0.0.1:7443 --certs DIR --personal-id 099… --procedure 1.000894 --case HS-1 FIELD...

Made with stock tools from the hub's OpenAPI description:
  hub contracts openapi > openapi.json
  openapi-python-client generate --path openapi.json --meta none --output-path gen/hub_client

The exit code is 0 when the person was shown, 1 when nobody or several were found, 2 when the hub refused. With --again the same is asked a
second time with the validator of the first answer: what is still true is not sent again.
"""

import argparse
import json
import pathlib
import ssl
import sys
import time

from hub_client import Client
from hub_client.api.hub_query_v_1_query_service import query_service_get_subject as get_subject
from hub_client.models import HubQueryV1GetSubjectRequest, HubQueryV1Purpose, HubQueryV1SubjectKey

TRIES = 5
AGAIN = {408, 429, 503, 504}


def connected(endpoint, certs):
    """A client that shows the portal's certificate and trusts the hub's authority alone."""
    tls = ssl.create_default_context(cafile=certs / "ca.pem")
    tls.load_cert_chain(certs / "portal-national.pem", certs / "portal-national.key")
    return Client(base_url=endpoint, verify_ssl=tls, timeout=10)


def ask(client, question, validator=None):
    """An answer. What may be asked again is asked again, after as long as the hub says."""
    known = {"if_none_match": validator} if validator else {}
    for attempt in range(TRIES):
        answer = get_subject.sync_detailed(client=client, body=question, **known)
        if answer.status_code not in AGAIN or attempt + 1 == TRIES:
            return answer
        time.sleep(float(answer.headers.get("retry-after", 2**attempt)))


def show(attribute):
    """One attribute with its source, and what else registers say."""
    value, source = attribute.value.value, attribute.value.source
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    print(f"{attribute.name:12} {shown} {source.register} {source.record_type} version {source.version}")
    if attribute.disputed:
        print(f"  disputed by {', '.join(attribute.disputed_by)}")


def refused(answer):
    """Problem details: what is wrong, and what to do."""
    problem = json.loads(answer.content)
    print(f"portal: {problem['status']} {problem.get('reason', problem['code'])}: {problem['detail']}", file=sys.stderr)
    for violation in problem.get("violations", []):
        print(f"  {violation['field']}: {violation['description']}", file=sys.stderr)
    return 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--endpoint", "--personal-id", "--procedure", "--case"):
        parser.add_argument(name, required=True)
    parser.add_argument("--certs", type=pathlib.Path, required=True)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("fields", nargs="+")
    args = parser.parse_args()
    question = HubQueryV1GetSubjectRequest(
        kind="person",
        key=HubQueryV1SubjectKey(personal_id=args.personal_id),
        purpose=HubQueryV1Purpose(procedure=args.procedure, case_number=args.case),
        fields=args.fields,
    )
    with connected(args.endpoint, args.certs) as client:
        answer = ask(client, question)
        if answer.status_code != 200:
            return refused(answer)
        if not answer.parsed.subject:
            print("several persons, or nobody", file=sys.stderr)
            return 1
        for attribute in answer.parsed.subject.attributes:
            show(attribute)
        print(f"access {answer.headers['hub-access-id']} is written down")
        if args.again:
            second = ask(client, question, answer.headers["etag"])
            told = "would be said again" if second.status_code == 304 else "is another"
            print(f"the same, asked again, {told}; access {second.headers['hub-access-id']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
