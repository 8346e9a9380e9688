"""Runs one step of `seqharvest.stages` as a task, with our errors turned into Airflow's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from airflow.sdk import BaseOperator


@contextmanager
def hopeless_errors_fail() -> Iterator[None]:
    """Fail the task without a retry where its error says that trying again cannot help."""
    from airflow.sdk.exceptions import AirflowFailException

    from seqharvest.errors import BatchJobError, InputError, LoadError, StateConflict

    try:
        yield
    except (BatchJobError, InputError, LoadError, StateConflict) as error:
        raise AirflowFailException(str(error)) from error


def check_ours(project: str, run_id: str) -> None:
    """Raise `StateConflict` when a project is, or was last, in the hands of another run.

    An old run's task that is cleared must not reach into the work of a newer one.
    """
    from seqharvest.errors import StateConflict
    from seqharvest.registry import Registry

    item = Registry().project(project)
    owner = item.get("run_id") or item.get("last_run_id")
    if owner != run_id:
        raise StateConflict(
            f"project {project} is {item['state']} in the hands of run {owner}, not of {run_id}",
            "clear the tasks of that run, or clear `open` to claim the project again",
        )


class StageOperator(BaseOperator):
    """Call one function of `seqharvest.stages` for a project; return the keys that it returns.

    :param stage: name of the function, e.g. "plan_fetch"
    :param project: project id (templated)
    :param arguments: further keyword arguments (templated)
    :param from_form: names of DAG params that are passed on as they are
    :param opens: this step claims the project for the run; all others need it claimed
    :param at_least_one: return `[{}]` for an empty list, so that what is mapped over it runs
        (and does nothing) instead of being skipped along with all that follows
    """

    template_fields: Sequence[str] = ("project", "arguments")
    template_fields_renderers = {"arguments": "json"}  # noqa: RUF012
    ui_color = "#e8f0e4"

    def __init__(
        self,
        *,
        stage: str,
        project: str,
        arguments: Mapping[str, Any] | None = None,
        from_form: Sequence[str] = (),
        opens: bool = False,
        at_least_one: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stage = stage
        self.project = project
        self.arguments = dict(arguments or {})
        self.from_form = tuple(from_form)
        self.opens = opens
        self.at_least_one = at_least_one

    def execute(self, context: Any) -> Any:
        """Run the step in the name of this DAG."""
        from seqharvest import stages

        step = getattr(stages, self.stage)
        arguments = {name: context["params"][name] for name in self.from_form}
        arguments |= {"by": f"airflow:{context['ti'].dag_id}", **self.arguments}
        with hopeless_errors_fail():
            if not self.opens:
                check_ours(self.project, context["ti"].run_id)
            result = step(self.project, **arguments)
        self.log.info("project %s %s: %s", self.project, self.stage, result)
        return result or [{}] if self.at_least_one else result
