"""Threads of one search ask for trials in turn."""

from concurrent.futures import ThreadPoolExecutor

import optuna

from tamis.sweeps.search.search import ask_in_turn


def test_a_waiting_trial_is_given_to_one_thread(tmp_path):
    """Optuna on SQLite gives it to all that ask at once, some times in a dozen."""
    for number in range(8):
        study = optuna.create_study(storage=f"sqlite:///{tmp_path}/{number}.db")
        study.enqueue_trial({"x": 1.0})
        ask_in_turn(study)
        with ThreadPoolExecutor(4) as pool:
            asked = [future.result().number for future in [pool.submit(study.ask) for _ in range(4)]]
        assert sorted(asked) == [0, 1, 2, 3]
