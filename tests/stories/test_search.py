"""Searches of another Hydra project, from outside: what a user sees, and what is refused."""

import optuna
import pytest
from optuna.trial import TrialState
from tests.studies import check_whole, load, make_app, search, search_here

X = "x=interval(-5, 5)"


@pytest.fixture
def folder(tmp_path):
    return make_app(tmp_path)


def study_of(folder) -> optuna.Study:
    return load(f"sqlite:///{folder}/out/study.db")


def points(study: optuna.Study) -> list:
    return [(trial.number, trial.params, trial.values) for trial in study.trials]


def test_a_search_finds_resumes_and_repeats_itself(folder):
    """Also the space of the official plugin's example: choices and a range."""
    typed = ["x=range(-5.5, 5.5, step=0.5)", "kind=a,b", "depth=int(interval(0, 3))"]
    first = search_here(folder, *typed, "hydra.sweeper.n_trials=12")
    assert first.returncode == 0, first.stderr
    check_whole(study_of(folder), 12)
    found = points(study_of(folder))
    assert sorted(path.name for path in (folder / "out").glob("[0-9]*")) == sorted(map(str, range(12)))
    assert "best" in first.stdout and "12 of 12 trials" in first.stdout

    again = search(folder, *typed, "hydra.sweeper.n_trials=12", "hydra.sweep.dir=other")
    assert again.returncode == 0, again.stderr
    assert points(load(f"sqlite:///{folder}/other/study.db")) == found, "the same seed, other trials"

    more = search_here(folder, *typed, "hydra.sweeper.n_trials=15")
    assert more.returncode == 0, more.stderr
    longer = study_of(folder)
    check_whole(longer, 15)
    assert points(longer)[:12] == found
    assert len({str(trial.params) for trial in longer.trials}) > 10, "the resumed sampler repeated its points"
    assert len((folder / "jobs.txt").read_text().split()) == 12 + 12 + 3

    changed = search_here(folder, *typed[:2], "depth=int(interval(0, 4))")
    assert changed.returncode != 0
    assert "space depth: int 0 to 3 by 1 before, int 0 to 4 by 1 now" in changed.stderr
    assert len(study_of(folder).trials) == 15
    accepted = search_here(
        folder,
        *typed[:2],
        "depth=int(interval(0, 4))",
        "hydra.sweeper.on_change=continue",
        "hydra.sweeper.n_trials=16",
    )
    assert accepted.returncode == 0, accepted.stderr


def test_failures_are_told_and_the_search_goes_on(folder):
    done = search_here(
        folder, X, "fail=-1", "hydra.sweeper.n_trials=15", "hydra.sweeper.max_failure_rate=0.9"
    )
    assert done.returncode == 0, done.stderr
    study = study_of(folder)
    check_whole(study, 15)
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert failed and all(trial.params["x"] < -1 for trial in failed)
    assert all(trial.user_attrs["error"] == f"ValueError: x is {trial.params['x']}" for trial in failed)
    stopped = search_here(
        folder, X, "fail=9", "hydra.sweeper.n_trials=60", "hydra.sweeper.max_failure_rate=0.5"
    )
    assert stopped.returncode != 0
    assert "more than hydra.sweeper.max_failure_rate=0.5 allows; the last: ValueError" in stopped.stderr
    assert 15 < len(study_of(folder).trials) < 60


def test_nothing_complete(folder):
    done = search_here(folder, X, "fail=9", "hydra.sweeper.n_trials=3")
    assert done.returncode != 0
    assert "no trial of study 'toy' is complete (3 fail); the last: ValueError: x is" in done.stderr


def test_what_means_nothing_is_pruned_with_its_reason(folder):
    done = search_here(folder, X, "kind=a,c", "hydra.sweeper.n_trials=8", "hydra.sweeper.enqueue=[{kind:c}]")
    assert done.returncode == 0, done.stderr
    study = study_of(folder)
    for trial in study.trials:
        assert (trial.state == TrialState.PRUNED) == (trial.params["kind"] == "c")
    assert study.trials[0].params["kind"] == "c"
    assert study.trials[0].user_attrs["error"] == "c means nothing"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["xx=interval(0, 1)"], "xx"),
        (["part=one,three"], "three"),
        ([X, "hydra.sweeper.direction=[minimize,minimize]"], "the job returned 1 values"),
        (["x=1"], "the search space is empty"),
        ([X, "hydra.sweeper.enqueue=[{x:7}]"], "hydra.sweeper.enqueue has x=7"),
        ([X, "hydra.sweeper.identity=[part.of_on]"], "no key of the configuration"),
    ],
)
def test_refused_at_the_start(folder, overrides, words):
    done = search_here(folder, *overrides)
    assert done.returncode != 0
    assert words in done.stderr
    if "returned" not in words:
        assert not (folder / "jobs.txt").exists(), "a job ran"


def test_repeats_constraints_and_conditions(folder):
    done = search_here(
        folder,
        X,
        "kind=a,b",
        "hydra.sweeper.conditional=[{when:{kind:b},params:{depth:'int(interval(1, 3))'}}]",
        "hydra.sweeper.repeat={seed:[10,20]}",
        "hydra.sweeper.constraints=['x <= 0']",
        "hydra.sweeper.n_trials=10",
    )
    assert done.returncode == 0, done.stderr
    study = study_of(folder)
    for trial in study.trials:
        assert ("depth" in trial.params) == (trial.params["kind"] == "b")
        one = {"a": 0, "b": 1}[trial.params["kind"]] + 0.1 * trial.params.get("depth", 0) + 0.01 * 15
        assert trial.value == pytest.approx((trial.params["x"] - 1) ** 2 + one)
        assert (folder / "out" / str(trial.number) / "1").is_dir()
        assert (trial.user_attrs["constraints"][0] <= 0) == (trial.params["x"] <= 0)
    assert study.best_trial.params["x"] <= 0


def test_the_stopper_ends_jobs_early(folder):
    stopper = ["hydra/sweeper/stopper=median", "hydra.sweeper.stopper.n_startup_trials=3"]
    done = search_here(folder, X, "steps=4", *stopper, "hydra.sweeper.n_trials=14")
    assert done.returncode == 0, done.stderr
    trials = study_of(folder).trials
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert stopped and all(0 < len(trial.intermediate_values) <= 4 for trial in stopped)
    assert all(len(trial.intermediate_values) == 4 for trial in trials if trial.state == TrialState.COMPLETE)


def test_two_objectives(folder):
    done = search_here(
        folder, X, "two=true", "hydra.sweeper.direction=[minimize,maximize]", "hydra.sweeper.n_trials=8"
    )
    assert done.returncode == 0, done.stderr
    assert "on the Pareto front" in done.stdout
    study = study_of(folder)
    assert all(trial.values[1] == trial.params["x"] for trial in study.trials)
    values = [trial.values for trial in study.trials]
    for low, high in (trial.values for trial in study.best_trials):
        assert not any(one[0] <= low and one[1] >= high and one != [low, high] for one in values)


def test_a_grid_ends_when_it_is_used_up(folder):
    sampler = "hydra/sweeper/sampler=grid"
    for _ in range(2):  # the same command again finds that all is done
        done = search_here(folder, "kind=a,b", "depth=range(0, 3)", sampler, "hydra.sweeper.n_trials=50")
        assert done.returncode == 0, done.stderr
        trials = study_of(folder).trials
        assert len({(trial.params["kind"], trial.params["depth"]) for trial in trials}) == len(trials) == 6


@pytest.mark.slow
def test_batches_of_another_launcher(folder):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = search(
        folder,
        X,
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "hydra.sweeper.n_jobs=3",
        "hydra.sweeper.n_trials=7",
    )
    assert done.returncode == 0, done.stderr
    check_whole(study_of(folder), 7)
    assert sorted(path.name for path in (folder / "out").glob("[0-9]*")) == sorted(map(str, range(7)))


def test_starts_that_are_missing_are_added_and_no_other(folder):
    """As after a kill between two of them; the same command again adds none."""
    starts = [0.5, -1.5, 2.5, 3.5, 0.5]
    typed = [X, f"hydra.sweeper.enqueue=[{','.join(f'{{x:{x}}}' for x in starts)}]"]
    (folder / "out").mkdir()
    killed = optuna.create_study(storage=f"sqlite:///{folder}/out/study.db", study_name="toy")
    for x in starts[:2]:
        killed.enqueue_trial({"x": x})
    for total in (5, 6):
        done = search_here(folder, *typed, f"hydra.sweeper.n_trials={total}")
        assert done.returncode == 0, done.stderr
        check_whole(study_of(folder), total)
        assert [trial.params["x"] for trial in study_of(folder).trials][:5] == starts


KIND = "kind=choice(a,b)"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([KIND], ["kind=choice(a,b,c)"]),
        ([KIND], ["kind=choice(b,a)"]),
        (["x=choice(1.0,2.0)"], [X]),
        ([X], ["x=choice(1.0,2.0)"]),
        ([X], ["x=int(interval(0, 3))"]),
        (["x=interval(1, 3)"], ["x=tag(log, interval(1, 3))"]),
        ([X], [X, "hydra.sweeper.direction=maximize"]),
        ([X, "hydra.sweeper.constraints=['x <= 0']"], [X]),
    ],
)
def test_what_optuna_cannot_go_on_with_is_refused_and_changes_nothing(folder, before, now):
    """Going on is not offered; who asks for it all the same has a sentence, and the study as it was."""
    first = search_here(folder, *before, "hydra.sweeper.n_trials=2")
    assert first.returncode == 0, first.stderr
    found = study_of(folder)
    for more in ([], ["hydra.sweeper.on_change=continue"]):
        refused = search_here(folder, *now, "hydra.sweeper.n_trials=4", *more)
        assert "StudyError" in refused.stderr and "Optuna cannot go on with its trials" in refused.stderr
        assert "on_change=continue" not in refused.stderr
    assert study_of(folder).user_attrs == found.user_attrs
    assert len(study_of(folder).trials) == 2
    again = search_here(folder, *before, "hydra.sweeper.n_trials=4")
    assert again.returncode == 0, again.stderr
    check_whole(study_of(folder), 4)


def test_a_trial_that_waits_has_to_be_in_the_space(folder):
    first = search_here(folder, KIND, "hydra.sweeper.n_trials=2")
    assert first.returncode == 0, first.stderr
    study_of(folder).enqueue_trial({"depth": 3})
    refused = search_here(folder, KIND, "depth=choice(1,2)", "hydra.sweeper.on_change=continue")
    assert "trial 2 waits with depth=3" in refused.stderr


@pytest.mark.parametrize(
    "more",
    [["depth=choice(1,2)", KIND], ["depth=interval(1, 2)", "kind=a"]],
    ids=["a key more", "another key"],
)
def test_what_optuna_can_go_on_with_goes_on(folder, more):
    assert search_here(folder, KIND, "hydra.sweeper.n_trials=2").returncode == 0
    done = search_here(folder, *more, "hydra.sweeper.on_change=continue", "hydra.sweeper.n_trials=4")
    assert done.returncode == 0, done.stderr
    check_whole(study_of(folder), 4)


def test_a_refused_definition_leaves_no_study(folder):
    refused = search_here(folder, X, "hydra.sweeper.identity=[nothing]", "hydra.sweeper.direction=maximize")
    assert refused.returncode != 0
    done = search_here(folder, X, "hydra.sweeper.n_trials=2")
    assert done.returncode == 0, done.stderr


def test_without_an_identity_the_whole_configuration_is_it(folder):
    whole = ["hydra.sweeper.identity=null", X, "hydra.sweeper.repeat={seed:[1,2]}"]
    assert search_here(folder, *whole, "hydra.sweeper.n_trials=2").returncode == 0
    for other, words in (
        ("part=two", "part.of_two: not there before, 1 now"),
        ("depth=1", "depth: 0 before, 1 now"),
    ):
        refused = search_here(folder, *whole, other)
        assert words in refused.stderr and "on_change=continue" in refused.stderr
    same = search_here(folder, *whole, "hydra.sweeper.n_trials=4")
    assert same.returncode == 0, same.stderr
    indifferent = search_here(
        folder, *whole, "depth=1", "hydra.sweeper.indifferent=[depth]", "hydra.sweeper.on_change=continue"
    )
    assert "depth: 0 before, not there now" in indifferent.stdout + indifferent.stderr
