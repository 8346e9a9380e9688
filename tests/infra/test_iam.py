"""Each actor in an account that enforces IAM: what it needs, and what it must not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.infra.conftest import Account

ACTORS = ("Airflow", "Head", "Worker", "Fetcher", "Ci", "Reader")
REFUSED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
#: That IAM let a call through; the emulator then has its own reasons to complain.
Call = tuple[str, str, dict[str, Any]]
Acting = Callable[[str, str], Any]  # actor and service to client


def put(key: str) -> Call:
    """Write an object."""
    return "s3", "put_object", {"Bucket": "{Bucket}", "Key": key, "Body": b"x"}


def get(key: str) -> Call:
    """Read an object."""
    return "s3", "get_object", {"Bucket": "{Bucket}", "Key": key}


def delete(key: str) -> Call:
    """Delete an object."""
    return "s3", "delete_object", {"Bucket": "{Bucket}", "Key": key}


def listed(prefix: str) -> Call:
    """List objects."""
    return "s3", "list_objects_v2", {"Bucket": "{Bucket}", "Prefix": prefix}


def submit(queue: str, definition: str) -> Call:
    """Submit a job: IAM is asked for the queue and for the definition."""
    here = "arn:aws:batch:us-east-1:000000000000"
    return asked(
        "batch:SubmitJob",
        f"{here}:job-queue/seqharvest-{queue}",
        f"{here}:job-definition/seqharvest-{definition}:3",
    )


def asked(action: str, *resources: str) -> Call:
    """Ask the policy simulator: of Batch and Logs, the emulator's own calls know no resources."""
    return "iam", "simulate_principal_policy", {"ActionNames": [action], "ResourceArns": resources}


KEY = {"pk": {"S": "GSE1"}, "sk": {"S": "PROJECT"}}
ITEM: Call = ("dynamodb", "put_item", {"TableName": "{Table}", "Item": KEY})
READ_ITEM: Call = ("dynamodb", "get_item", {"TableName": "{Table}", "Key": KEY})
UPDATE_ITEM: Call = (
    "dynamodb",
    "update_item",
    {
        "TableName": "{Table}",
        "Key": KEY,
        "UpdateExpression": "SET fetching = :f",
        "ExpressionAttributeValues": {":f": {"S": "x"}},
    },
)
TRANSACTION: Call = (
    "dynamodb",
    "transact_write_items",
    {"TransactItems": [{"Put": {"TableName": "{Table}", "Item": KEY}}]},
)
BY_STATE: Call = (
    "dynamodb",
    "query",
    {
        "TableName": "{Table}",
        "IndexName": "by_state",
        "KeyConditionExpression": "#s = :s",
        "ExpressionAttributeNames": {"#s": "state"},
        "ExpressionAttributeValues": {":s": {"S": "registered"}},
    },
)
QUERY: Call = (
    "athena",
    "start_query_execution",
    {
        "QueryString": "SELECT 1",
        "WorkGroup": "{AthenaWorkgroup}",
        "QueryExecutionContext": {"Database": "{Database}"},
    },
)
TABLES: Call = ("glue", "get_tables", {"DatabaseName": "{Database}"})
NEW_TABLE: Call = (
    "glue",
    "create_table",
    {"DatabaseName": "{Database}", "TableInput": {"Name": "t"}},
)
DESCRIBE: Call = ("batch", "describe_jobs", {"jobs": ["x"]})
TERMINATE = asked("batch:TerminateJob", "arn:aws:batch:us-east-1:000000000000:job/1-2-3")
QUEUES: Call = ("batch", "describe_job_queues", {})
LOG = asked(
    "logs:GetLogEvents",
    "arn:aws:logs:us-east-1:000000000000:log-group:/aws/batch/job:log-stream:seqharvest-head/x/1",
)
RUN = "raw/project=GSE1/sample=SRX1/SRR1_1.fastq.gz"
RESULT = "analysis/fingerprint=f/project=GSE1/sample=SRX1/quant.sf.gz"
TABLE_FILE = "lake/gene_quant/release=r/project=GSE1/part.parquet"
MANIFEST = "manifests/project=GSE1/qc-abc.json"
BUNDLE = "manifests/bundles/seqharvest-qc-GSE1-abc/bundle.json"

#: What the code of each actor calls.
NEEDED = {
    "Airflow": [
        put(MANIFEST), get(MANIFEST), listed("raw/project=GSE1/"), get(RUN), put(RUN), ITEM,
        READ_ITEM, TRANSACTION, BY_STATE, submit("head", "head"), submit("worker", "fetch"),
        submit("large-disk", "fetch"), DESCRIBE, TERMINATE, LOG,
        get("logs/batch/qc/project=GSE1/abc.json"),
    ],
    "Head": [
        get(MANIFEST), put(BUNDLE), get(BUNDLE), listed("analysis/"), put(RESULT), delete(RESULT),
        put("logs/progress/qc/project=GSE1/abc.json"), put("logs/batch/qc/project=GSE1/abc.json"),
        delete("logs/batch/qc/project=GSE1/abc.json"), put(TABLE_FILE), submit("worker", "worker"),
        submit("large-disk", "worker"), DESCRIBE, QUEUES, TERMINATE, LOG, QUERY, TABLES, NEW_TABLE,
    ],
    "Worker": [
        get(BUNDLE), get(RUN), listed("analysis/fingerprint=f/"), put(RESULT), get(RESULT),
        delete(RESULT), put("manifests/bundles/seqharvest-qc-GSE1-abc/usage/x.json"),
        get("reference/release=r/release.json"), put("reference/release=r/star.tar"),
        put("qc/fingerprint=f/project=GSE1/sample=SRX1/metrics.json"),
    ],
    "Fetcher": [
        get(MANIFEST), listed("raw/project=GSE1/sample=SRX1/SRR1"), put(RUN), get(RUN),
        put("logs/batch/fetch/project=GSE1/abc-SRR1.json"), READ_ITEM, UPDATE_ITEM,
    ],
    "Ci": [
        ("ecr", "get_authorization_token", {}),
        ("ecr", "describe_images", {"repositoryName": "seqharvest-pipeline"}),
        put("ci/abc123/report.html"),
    ],
    "Reader": [QUERY, TABLES, get(TABLE_FILE), listed("lake/"), put("athena-results/x.csv")],
}  # fmt: skip

#: What nobody may.
NEVER: list[Call] = [
    ("s3", "create_bucket", {"Bucket": "another-bucket"}),
    ("s3", "delete_bucket", {"Bucket": "{Bucket}"}),
    ("s3", "put_bucket_policy", {"Bucket": "{Bucket}", "Policy": "{{}}"}),
    ("dynamodb", "delete_table", {"TableName": "{Table}"}),
    ("glue", "delete_database", {"Name": "{Database}"}),
    asked("iam:CreateUser", "*"),
    ("batch", "deregister_job_definition", {"jobDefinition": "seqharvest-head:1"}),
]
FORBIDDEN = {
    "Airflow": [
        delete(RUN), put(RESULT), delete(RESULT), put(TABLE_FILE), submit("worker", "worker"),
        QUERY, NEW_TABLE,
    ],
    "Head": [
        put(RUN), delete(RUN), delete(TABLE_FILE), put(MANIFEST), ITEM, READ_ITEM,
        submit("head", "head"), submit("worker", "fetch"),
        ("glue", "delete_table", {"DatabaseName": "{Database}", "Name": "t"}),
    ],
    "Worker": [
        put(RUN), delete(RUN), put(TABLE_FILE), get(TABLE_FILE), put(MANIFEST), ITEM, READ_ITEM,
        put("logs/batch/qc/project=GSE1/abc.json"), submit("worker", "worker"), DESCRIBE, TERMINATE,
        QUERY, TABLES,
    ],
    "Fetcher": [
        delete(RUN), put(RESULT), get(RESULT), put(MANIFEST), listed("analysis/"), ITEM,
        put("logs/batch/qc/project=GSE1/abc.json"), submit("worker", "fetch"), QUERY,
    ],
    "Ci": [get(RUN), put(RESULT), put(MANIFEST), ITEM, READ_ITEM, submit("head", "head"), QUERY],
    "Reader": [
        get(RUN), get(MANIFEST), listed("raw/"), put(TABLE_FILE), delete(TABLE_FILE), NEW_TABLE,
        ITEM, READ_ITEM, submit("head", "head"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def acting(account: Account) -> Iterator[Acting]:
    """Return clients of actors: `acting(actor, service)`."""
    iam = account.client("iam")
    user = iam.create_user(UserName="tester")["User"]["Arn"]
    iam.put_user_policy(
        UserName="tester",
        PolicyName="p",
        PolicyDocument=json.dumps(statement({"Action": "sts:AssumeRole", "Resource": "*"})),
    )
    key = iam.create_access_key(UserName="tester")["AccessKey"]
    sts = account.client(
        "sts",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    s3, bucket = account.client("s3"), account.outputs["Bucket"]
    sessions = {}
    for actor in ACTORS:
        arn = account.outputs[f"{actor}Role"]
        # Whom a role trusts is not what is tested: the tester stands in for ECS and MWAA.
        trust = statement({"Action": "sts:AssumeRole", "Principal": {"AWS": user}})
        iam.update_assume_role_policy(
            RoleName=arn.rpartition("/")[2], PolicyDocument=json.dumps(trust)
        )
        given = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        sessions[actor] = {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }
    for object_ in (RUN, RESULT, TABLE_FILE, MANIFEST, BUNDLE):
        s3.put_object(Bucket=bucket, Key=object_, Body=b"{}")

    def client(actor: str, service: str) -> Any:
        # The simulator is asked by the root, about the actor.
        return account.client(service, **(sessions[actor] if service != "iam" else {}))

    # The emulator speaks plain HTTP, which is what the bucket's own policy refuses.
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert refused(account, "Airflow", client, get(MANIFEST))
    s3.delete_bucket_policy(Bucket=bucket)
    yield client
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def statement(of: dict[str, Any]) -> dict[str, Any]:
    """Return a policy of one allowing statement."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **of}]}


def refused(account: Account, actor: str, acting: Acting, call: Call) -> bool:
    """Whether IAM refuses an actor's call."""
    service, operation, arguments = call
    if operation == "simulate_principal_policy":
        role, iam = account.outputs[f"{actor}Role"], acting(actor, "iam")
        # One by one: the emulator's simulator looks at the first resource only.
        for resource in arguments["ResourceArns"]:
            (found,) = iam.simulate_principal_policy(
                PolicySourceArn=role,
                ActionNames=arguments["ActionNames"],
                ResourceArns=[resource],
            )["EvaluationResults"]
            if found["EvalDecision"] != "allowed":
                return True
        return False
    text = json.dumps(arguments, default=lambda raw: raw.decode())
    for name, value in account.outputs.items():
        text = text.replace(f"{{{name}}}", value)
    try:
        getattr(acting(actor, service), operation)(**json.loads(text))
    except ClientError as error:
        return error.response["Error"]["Code"] in REFUSED
    return False


def named(calls: dict[str, list[Call]]) -> list[Any]:
    """Return actor and call, with an id that says which."""
    return [
        pytest.param(actor, call, id=f"{actor}-{call[1]}-{call[2].get('Key', number)}")
        for actor, of in calls.items()
        for number, call in enumerate(of)
    ]


@pytest.mark.parametrize(("actor", "call"), named(NEEDED))
def test_an_actor_may_do_its_work(account: Account, acting: Acting, actor: str, call: Call) -> None:
    assert not refused(account, actor, acting, call)


@pytest.mark.parametrize(("actor", "call"), named(FORBIDDEN))
def test_an_actor_may_do_no_others_work(
    account: Account, acting: Acting, actor: str, call: Call
) -> None:
    assert refused(account, actor, acting, call)


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("call", NEVER, ids=lambda call: call[1])
def test_nobody_makes_or_deletes_what_holds_data(
    account: Account, acting: Acting, actor: str, call: Call
) -> None:
    assert refused(account, actor, acting, call)


def test_a_deny_wins_over_what_is_attached_one_day(account: Account, acting: Acting) -> None:
    iam = account.client("iam")
    everything = json.dumps(statement({"Action": "*", "Resource": "*"}))
    iam.put_role_policy(RoleName="seqharvest-ci", PolicyName="x", PolicyDocument=everything)
    try:
        assert not refused(account, "Ci", acting, get(RUN))
        for call in NEVER:
            if call[0] != "iam":  # of which there is no deny
                assert refused(account, "Ci", acting, call), call[1]
    finally:
        iam.delete_role_policy(RoleName="seqharvest-ci", PolicyName="x")
