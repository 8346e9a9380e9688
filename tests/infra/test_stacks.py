"""The stacks, deployed to emulators and read back by name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.deploy import STACKS, TEMPLATES, setting_names, template
from seqharvest.registry import TABLE
from tests.infra.conftest import NAME, TOOLS, Account, outputs


def test_templates_have_nothing_that_cfn_lint_minds() -> None:
    if not (TOOLS / "cfn-lint").exists():
        pytest.skip("run `local/setup.sh infra`")
    templates = [str(TEMPLATES / f"{stack}.yaml") for stack in STACKS]
    ended = subprocess.run(
        [TOOLS / "cfn-lint", "-r", "us-east-1", "--", *templates], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout


def test_whatever_one_stack_takes_another_puts_out_or_has_a_default() -> None:
    known = {"Name", "ImageTag"}
    for stack in STACKS:
        for key, parameter in template(stack)["Parameters"].items():
            assert "Default" in parameter or key in known, f"{stack}: {key}"
        known |= set(template(stack)["Outputs"])


class TestData:
    def test_the_bucket_keeps_versions_is_private_and_speaks_tls_only(
        self, account: Account
    ) -> None:
        s3, bucket = account.client("s3"), account.outputs["Bucket"]
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert all(block.values()) and len(block) == 4
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        assert rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
        assert '"aws:SecureTransport"' in policy and '"Deny"' in policy

    def test_reads_expire_results_stay_and_broken_uploads_go(self) -> None:
        # Of the template: no emulator makes lifecycles of it (docs/deploy.md).
        bucket = template("data")["Resources"]["DataBucket"]["Properties"]
        rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
        assert rules["raw-reads"]["ExpirationInDays"] == {"Ref": "RawDays"}
        assert "ExpirationInDays" not in rules["results"]
        broken = rules["old-versions-and-broken-uploads"]
        assert broken["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7

    def test_the_registry_is_the_table_the_code_makes(self, account: Account) -> None:
        dynamodb, table = account.client("dynamodb"), account.outputs["Table"]
        found = dynamodb.describe_table(TableName=table)["Table"]
        for key in ("KeySchema", "StreamSpecification"):
            assert found[key] == TABLE[key]
        by_name = {one["AttributeName"]: one for one in found["AttributeDefinitions"]}
        assert by_name == {one["AttributeName"]: one for one in TABLE["AttributeDefinitions"]}
        (index,), (wanted,) = found["GlobalSecondaryIndexes"], TABLE["GlobalSecondaryIndexes"]
        assert {key: index[key] for key in wanted} == wanted
        assert found["BillingModeSummary"]["BillingMode"] == TABLE["BillingMode"]

    def test_the_registry_can_go_back_in_time(self) -> None:
        # Of the template, as above.
        table = template("data")["Resources"]["Registry"]["Properties"]
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]

    def test_a_query_has_a_limit_and_a_place_for_its_results(self, account: Account) -> None:
        found = account.client("athena").get_work_group(
            WorkGroup=account.outputs["AthenaWorkgroup"]
        )["WorkGroup"]["Configuration"]
        assert int(found["BytesScannedCutoffPerQuery"]) == 2**40
        place = found["ResultConfiguration"]["OutputLocation"]
        assert place == f"s3://{account.outputs['Bucket']}/athena-results/"
        database = account.outputs["Database"]
        assert account.client("glue").get_database(Name=database)["Database"]["Name"] == database

    def test_logs_are_kept_for_a_while(self, account: Account) -> None:
        (group,) = account.client("logs").describe_log_groups(
            logGroupNamePrefix=account.outputs["JobLogGroup"]
        )["logGroups"]
        assert (group["logGroupName"], group["retentionInDays"]) == ("/aws/batch/job", 60)

    def test_images_are_scanned(self, account: Account) -> None:
        found = account.client("ecr").describe_repositories()["repositories"]
        assert {one["repositoryName"] for one in found} == {f"{NAME}-pipeline", f"{NAME}-airflow"}
        assert all(one["imageScanningConfiguration"]["scanOnPush"] for one in found)

    def test_s3_and_dynamodb_are_reached_by_gateways(self, account: Account) -> None:
        ec2 = account.client("ec2")
        found = ec2.describe_vpc_endpoints()["VpcEndpoints"]
        services = {one["ServiceName"].rpartition(".")[2]: one for one in found}
        assert set(services) == {"s3", "dynamodb"}
        subnets = account.outputs["Subnets"].split(",")
        tables = ec2.describe_route_tables(
            Filters=[{"Name": "association.subnet-id", "Values": subnets}]
        )["RouteTables"]
        ours = {table["RouteTableId"] for table in tables}
        assert all(set(one["RouteTableIds"]) == ours for one in found)


class TestDeploying:
    def test_a_dry_run_shows_all_and_leaves_nothing(self, empty: Account) -> None:
        ended = empty.make("deploy", "dry", "--tag", "t", "--dry-run", "--only", "data,images,iam")
        assert ended.returncode == 0, ended.stderr
        assert "Add    AWS::S3::Bucket DataBucket" in ended.stdout
        assert "AWS::IAM::Role Fetcher" in ended.stdout  # though the bucket is not there yet
        assert empty.client("s3").list_buckets()["Buckets"] == []
        stacks = empty.client("cloudformation").describe_stacks()["Stacks"]
        assert [one for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"] == []

    def test_twice_is_once_a_change_is_shown_and_destroying_keeps_what_matters(
        self, empty: Account
    ) -> None:
        first = empty.make("deploy", "twice", "--only", "data,logs,iam")
        assert first.returncode == 0, first.stderr
        assert "SEQHARVEST_TABLE=twice" in first.stdout.splitlines()
        again = empty.make("deploy", "twice", "--only", "data,logs,iam")
        assert again.stdout.count("nothing to change") == 3, again.stdout + again.stderr
        other = empty.make("deploy", "twice", "--only", "logs", "--parameters", "LogDays=90")
        assert "Modify AWS::Logs::LogGroup Jobs" in other.stdout, other.stdout + other.stderr
        bucket = outputs(empty)["Bucket"]
        empty.client("s3").put_object(Bucket=bucket, Key="raw/x", Body=b"x")
        destroyed = empty.make("destroy", "twice")
        assert destroyed.returncode == 0, destroyed.stderr
        assert "twice-data stays" in destroyed.stdout and "twice-iam deleted" in destroyed.stdout
        assert empty.client("s3").get_object(Bucket=bucket, Key="raw/x")["Body"].read() == b"x"
        refused = empty.make("destroy", "twice", "--delete-data", "yes")
        assert (refused.returncode, "must be twice" in refused.stderr) == (1, True)
        gone = empty.make("destroy", "twice", "--delete-data", "twice")
        assert gone.returncode == 0, gone.stderr
        assert empty.client("s3").list_buckets()["Buckets"] == []
        assert empty.client("dynamodb").list_tables()["TableNames"] == []

    @pytest.mark.parametrize(
        ("arguments", "environment", "said"),
        [
            (["--tag", "nowhere"], {}, "there is no image"),
            ([], {}, "which image?"),
            (["--parameters", "NoSuch=1"], {}, "no template has the parameter NoSuch"),
            (["--parameters", "nonsense"], {}, "Key=value"),
            ([], {"AWS_DEFAULT_REGION": None}, "no region is set"),
            ([], {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no AWS credentials"),
        ],
    )
    def test_what_is_missing_is_said_in_a_line(
        self,
        empty: Account,
        tmp_path: Path,
        arguments: list[str],
        environment: dict[str, str | None],
        said: str,
    ) -> None:
        nobody = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
        only = ["--only", "images,batch"]
        ended = empty.make("deploy", "wrong", *only, *arguments, **{**nobody, **environment})
        assert ended.returncode == 1
        assert said in ended.stderr and len(ended.stderr.strip().splitlines()) == 1


def test_outputs_are_settings_by_name(batch_account: Account) -> None:
    from infra.deploy import snake

    wanted = {"bucket", "table", "database", "athena_workgroup", "release", "large_disk_gib"}
    wanted |= {f"{role}_queue" for role in ("head", "worker", "large_disk")}
    wanted |= {f"{role}_job" for role in ("head", "worker", "fetch")}
    assert wanted <= set(setting_names())
    assert wanted <= {snake(key) for key in batch_account.outputs}
