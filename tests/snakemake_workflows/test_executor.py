"""The Batch executor, run by the real Snakemake against real S3 and Batch endpoints."""

from __future__ import annotations

import signal

from tests.snakemake_workflows.batch_head import Head


def test_a_sample_s_chain_is_one_job_whose_intermediates_never_reach_s3(head: Head) -> None:
    head.prepare("a", "b")
    code, output = head.run()
    assert code == 0, output
    jobs = head.batch.jobs(head.queue)
    assert [job["status"] for job in jobs] == ["SUCCEEDED"] * 2
    (array,) = head.batch.submits(head.queue)
    assert array["jobName"].startswith(f"{head.name}--sample-array-")
    assert head.stored() == {
        f"sample={sample}/{name}" for sample in "ab" for name in ("trim.txt", "count.txt")
    } | {f"logs/sample={sample}/align.log" for sample in "ab"}
    everything = head.aws.client("s3").list_objects_v2(Bucket=head.aws.bucket)["Contents"]
    assert not [item["Key"] for item in everything if "work/" in item["Key"]]
    assert (
        "seqharvest progress submitted=2 attached=0 running=0 done=2 failed=0 skipped=0 total=2"
        in output
    )
    container = jobs[0]["container"]
    needs = {need["type"]: need["value"] for need in container["resourceRequirements"]}
    assert needs == {"VCPU": "1", "MEMORY": "150"}
    # trim and count take the profile's default runtime of 120 minutes, align its own 5; an array
    # rounds up by less than an eighth.
    exactly = (120 + 5 + 120) * 60
    assert exactly <= jobs[0]["timeout"]["attemptDurationSeconds"] < exactly * 9 / 8

    assert head.run()[0] == 0
    assert len(head.batch.jobs(head.queue)) == 2, "a second run submits nothing"

    key = f"{head.results}/sample=a/count.txt"
    head.aws.client("s3").delete_object(Bucket=head.aws.bucket, Key=key)
    code, output = head.run()
    assert code == 0, output
    assert len(head.batch.jobs(head.queue)) == 3, "one missing output makes only its sample run"
    assert "sample=a/count.txt" in head.stored()


def test_a_failing_sample_is_told_with_its_log_while_the_others_finish(head: Head) -> None:
    head.prepare("good", "flawed")
    code, output = head.run()
    assert code == 1
    assert "sample=good/count.txt" in head.stored()
    assert "sample=flawed/count.txt" not in head.stored()
    (failure,) = head.failures
    assert failure["kind"] == "user_error"
    assert failure["wildcards"] == {"sample": "flawed"}
    assert failure["rules"] == ["align", "count", "trim"]
    assert failure["exit_code"] == 1
    assert failure["summary"].startswith("aligner: read 3 of flawed is damaged")
    assert not failure["will_retry"]
    assert "  | aligner: read 3 of flawed is damaged" in output
    assert len(head.batch.jobs(head.queue)) == 2, "a user error is not repeated"


def test_a_killed_head_finds_its_running_jobs_again(head: Head) -> None:
    head.prepare("a", "b", seconds=6)
    first = head.start()
    head.batch.wait_for(head.queue, "RUNNING", 2)
    first.kill()
    first.communicate()
    code, output = head.run()
    assert code == 0, output
    assert len(head.batch.jobs(head.queue)) == 2, "no second submit"
    assert "attached=2" in output
    assert {"sample=a/count.txt", "sample=b/count.txt"} <= head.stored()


def test_sigterm_of_the_head_ends_its_jobs(head: Head) -> None:
    head.prepare("a", "b", "c", "d", "e", "f", seconds=60)
    first = head.start()
    head.batch.wait_for(head.queue, "RUNNING", 2)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)
    assert first.returncode != 0
    head.batch.wait_for(head.queue, "FAILED", 6)
    reasons = {job["statusReason"] for job in head.batch.jobs(head.queue)}
    assert reasons == {"The workflow run was ended."}
