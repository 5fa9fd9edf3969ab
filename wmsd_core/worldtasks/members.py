"""The pairs that count: views of a store that several parts of this package look through."""

import duckdb


def members(con: duckdb.DuckDBPyConnection) -> None:
    """Creates the view `members` of a store: the training and benchmark pairs whose frames no stage rejected.

    Pairs that were turned down themselves are among them: another threshold may bring them back, and train and bench are
    then apart already. Leaks are looked for in these.
    """
    con.execute(
        """
        CREATE OR REPLACE TEMP VIEW members AS
        SELECT pair_id, frame_id, task, solution, split FROM task_pairs JOIN splits USING (frame_id)
        WHERE frame_id NOT IN (SELECT item FROM rejections)
          AND (examined IS NULL OR list_contains(examined, pair_id))
        """
    )


def chosen(con: duckdb.DuckDBPyConnection) -> None:
    """Creates the view `chosen`, and `members`: those members that nothing has turned down, which are what is delivered."""
    members(con)
    con.execute("CREATE OR REPLACE TEMP VIEW chosen AS SELECT * FROM members JOIN usable_pairs USING (pair_id)")


def labels(con: duckdb.DuckDBPyConnection) -> None:
    """Creates the view `labels` (pair_id, labeller, agent_type, task_type): what the labeller of most pairs says."""
    con.execute(
        """
        CREATE OR REPLACE TEMP VIEW labels AS SELECT * FROM taxonomy WHERE labeller = (
            SELECT labeller FROM taxonomy GROUP BY labeller ORDER BY count(*) DESC, labeller DESC LIMIT 1)
        """
    )
