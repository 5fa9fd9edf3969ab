"""The tables, and the steps from one schema version to the next.

Every derived row names the hash of the configuration and the model or prompt version that made it. Identities: a frame is
the SHA-256 of its bytes; a task pair that of frame and task text; a video that of (item, arm, adapter, seed, sampler); a
judgment is (video, question version, judge). Times are UTC, sizes bytes, durations seconds.
"""

import duckdb

MIGRATIONS = (
    # 1: the first schema
    """
    CREATE TABLE frames (
        frame_id VARCHAR PRIMARY KEY,        -- SHA-256 of the file's bytes
        path VARCHAR NOT NULL,
        source VARCHAR NOT NULL,             -- the folder it was found in
        format VARCHAR NOT NULL,             -- of the content, whatever the name says
        width INTEGER NOT NULL, height INTEGER NOT NULL, bytes BIGINT NOT NULL
    );
    CREATE TABLE measurements (
        frame_id VARCHAR NOT NULL, config_hash VARCHAR NOT NULL,
        working_width INTEGER NOT NULL,      -- pixels; the Laplacian's variance is comparable only at one width
        sharpness DOUBLE NOT NULL,           -- variance of the Laplacian, squared grey levels
        luminance DOUBLE NOT NULL,           -- mean, grey levels
        near_black DOUBLE NOT NULL, near_white DOUBLE NOT NULL,   -- fractions of pixels
        flatness DOUBLE NOT NULL,            -- share of the most frequent sixteenth of the grey scale
        PRIMARY KEY (frame_id, config_hash)
    );
    CREATE TABLE signatures (
        frame_id VARCHAR PRIMARY KEY, levels BLOB NOT NULL   -- 16x16 RGB, a byte each: what near-duplicates are found by
    );
    CREATE TABLE aesthetics (
        frame_id VARCHAR NOT NULL, scorer VARCHAR NOT NULL, score DOUBLE NOT NULL, PRIMARY KEY (frame_id, scorer)
    );
    CREATE TABLE screenings (
        frame_id VARCHAR NOT NULL, model VARCHAR NOT NULL, prompt_version VARCHAR NOT NULL,
        log_odds DOUBLE, suitable BOOLEAN, reason VARCHAR NOT NULL,   -- NULL verdict: unread, with the reason
        PRIMARY KEY (frame_id, model, prompt_version)
    );
    CREATE TABLE task_pairs (
        pair_id VARCHAR PRIMARY KEY,         -- SHA-256 of frame and task text
        frame_id VARCHAR NOT NULL, position INTEGER NOT NULL,
        agent VARCHAR NOT NULL, instruction VARCHAR NOT NULL,
        task VARCHAR NOT NULL,               -- "[agent]: instruction", the Executor's text
        solution VARCHAR NOT NULL,           -- the Demonstrator's text
        model VARCHAR NOT NULL, prompt_version VARCHAR NOT NULL, config_hash VARCHAR NOT NULL
    );
    CREATE TABLE taxonomy (
        pair_id VARCHAR NOT NULL, labeller VARCHAR NOT NULL, agent_type VARCHAR NOT NULL, task_type VARCHAR NOT NULL,
        PRIMARY KEY (pair_id, labeller)
    );
    CREATE TABLE splits (
        frame_id VARCHAR PRIMARY KEY, split VARCHAR NOT NULL CHECK (split IN ('train', 'bench')), config_hash VARCHAR NOT NULL
    );
    CREATE TABLE videos (
        video_id VARCHAR PRIMARY KEY, pair_id VARCHAR NOT NULL,
        arm VARCHAR NOT NULL,                -- base, demonstrator, vlm, executor
        model VARCHAR NOT NULL, adapter VARCHAR NOT NULL,   -- checksums; '' is the frozen base
        seed BIGINT NOT NULL, sampler VARCHAR NOT NULL, path VARCHAR NOT NULL, sha256 VARCHAR NOT NULL
    );
    CREATE TABLE judgments (
        video_id VARCHAR NOT NULL, criterion VARCHAR NOT NULL,   -- task, agent, consistency
        question_version VARCHAR NOT NULL, judge VARCHAR NOT NULL,
        log_odds DOUBLE, verdict BOOLEAN, reason VARCHAR NOT NULL,   -- NULL verdict: unread, with the reason
        PRIMARY KEY (video_id, question_version, judge)
    );
    CREATE TABLE training_runs (
        run_id VARCHAR PRIMARY KEY,          -- SHA-256 of configuration, base weights and training set
        config JSON NOT NULL, config_hash VARCHAR NOT NULL, base VARCHAR NOT NULL, dataset VARCHAR NOT NULL,
        folder VARCHAR NOT NULL, status VARCHAR NOT NULL, adapter VARCHAR NOT NULL   -- checksum; '' until finished
    );
    CREATE TABLE training_steps (
        run_id VARCHAR NOT NULL, step INTEGER NOT NULL, metric VARCHAR NOT NULL, value DOUBLE,
        PRIMARY KEY (run_id, step, metric)
    );
    CREATE TABLE evaluations (
        evaluation_id VARCHAR NOT NULL,      -- SHA-256 of benchmark items, adapter, seed and sampler
        arm VARCHAR NOT NULL, criterion VARCHAR NOT NULL,
        successes DOUBLE NOT NULL, valid INTEGER NOT NULL, expected INTEGER NOT NULL,
        score DOUBLE, low DOUBLE, high DOUBLE,
        PRIMARY KEY (evaluation_id, arm, criterion)
    );
    CREATE TABLE stage_runs (
        stage VARCHAR PRIMARY KEY,           -- the last finished run of each; Prefect has the history
        cache_key VARCHAR NOT NULL, code_version VARCHAR NOT NULL, config JSON NOT NULL,
        summary JSON NOT NULL, started TIMESTAMP NOT NULL, seconds DOUBLE NOT NULL
    );
    CREATE TABLE rejections (
        stage VARCHAR NOT NULL,              -- frames, filter, dedup, rank, screen, generate, split
        item VARCHAR NOT NULL,               -- frame id, path or pair id
        reason VARCHAR NOT NULL,             -- a short code: blurred, dark, unreadable, ...
        detail VARCHAR NOT NULL, path VARCHAR NOT NULL, config_hash VARCHAR NOT NULL,
        PRIMARY KEY (stage, item, reason)
    );
    CREATE TABLE workspace (store_id VARCHAR NOT NULL);
    INSERT INTO workspace VALUES (uuid()::VARCHAR);
    """,
    # 2: sources other than folders, further measurements, embeddings, pairs that were turned down
    """
    ALTER TABLE frames ADD COLUMN licence VARCHAR DEFAULT '';    -- as the manifest says; '' where nothing is known
    ALTER TABLE frames ADD COLUMN video VARCHAR DEFAULT '';      -- path of the video it was taken from; '' for an image
    ALTER TABLE frames ADD COLUMN moment DOUBLE;                 -- seconds into that video
    ALTER TABLE frames ADD COLUMN stamp VARCHAR;                 -- size, times and settings of the registered file; NULL: look
    ALTER TABLE measurements ADD COLUMN bars DOUBLE;             -- fraction of the picture that letterbox bars take
    ALTER TABLE measurements ADD COLUMN overlay DOUBLE;          -- fraction covered by text and overlays; NULL: not asked for
    CREATE TABLE embeddings (
        frame_id VARCHAR NOT NULL, encoder VARCHAR NOT NULL, vector FLOAT[] NOT NULL,   -- L2-normalised
        PRIMARY KEY (frame_id, encoder)
    );
    CREATE TABLE verdicts (
        stage VARCHAR PRIMARY KEY, made_from VARCHAR NOT NULL   -- digest of frames and settings behind a stage's rejections
    );
    ALTER TABLE task_pairs ADD COLUMN end_state VARCHAR DEFAULT '';   -- what shows that the task is done, as the writer says
    CREATE TABLE rejected_pairs (            -- whole, as they were written, with the first fault found
        frame_id VARCHAR NOT NULL, position INTEGER NOT NULL, task VARCHAR NOT NULL, solution VARCHAR NOT NULL,
        reason VARCHAR NOT NULL, detail VARCHAR NOT NULL,
        model VARCHAR NOT NULL, prompt_version VARCHAR NOT NULL, config_hash VARCHAR NOT NULL,
        PRIMARY KEY (frame_id, config_hash, position)
    );
    CREATE TABLE verifications (             -- what a model that sees the picture says of a pair
        pair_id VARCHAR NOT NULL, question_version VARCHAR NOT NULL, model VARCHAR NOT NULL,
        log_odds DOUBLE, reason VARCHAR NOT NULL,   -- of the good answer; NULL: unread, with the reason
        PRIMARY KEY (pair_id, question_version, model)
    );
    CREATE TABLE written_solutions (         -- of benchmark tasks, by a model that sees first frame and task alone
        pair_id VARCHAR NOT NULL, writer VARCHAR NOT NULL,   -- model and version of the request
        solution VARCHAR, reason VARCHAR NOT NULL,           -- NULL: unanswered, with the reason
        PRIMARY KEY (pair_id, writer)
    );
    CREATE TABLE wishes (                    -- the kinds that a frame's request named
        frame_id VARCHAR NOT NULL, agent_type VARCHAR NOT NULL, task_type VARCHAR NOT NULL, config_hash VARCHAR NOT NULL,
        PRIMARY KEY (frame_id, agent_type, task_type)
    );
    CREATE VIEW usable_pairs AS              -- pairs that no stage turned down, neither themselves nor their frame
        SELECT pair_id FROM task_pairs
        WHERE frame_id NOT IN (SELECT item FROM rejections) AND pair_id NOT IN (SELECT item FROM rejections);
    ALTER TABLE splits ADD COLUMN examined VARCHAR[];            -- a bench frame's benchmark pairs; NULL: all that it has
    """,
    # 3: blur of any kind
    """
    ALTER TABLE measurements ADD COLUMN crispness DOUBLE;        -- fine detail over coarse, the least of four directions
    """,
    # 4: more benchmarks than one
    """
    ALTER TABLE videos RENAME COLUMN pair_id TO item_id;         -- of a benchmark; WorldTasks-Bench's are pairs
    ALTER TABLE videos ADD COLUMN benchmark VARCHAR DEFAULT 'worldtasks';        -- that it was first made for
    ALTER TABLE judgments ADD COLUMN benchmark VARCHAR DEFAULT 'worldtasks';     -- that first asked
    ALTER TABLE evaluations ADD COLUMN benchmark VARCHAR DEFAULT 'worldtasks';
    ALTER TABLE written_solutions RENAME COLUMN pair_id TO item_id;
    ALTER TABLE stage_runs RENAME TO earlier_runs;
    CREATE TABLE stage_runs (
        stage VARCHAR NOT NULL, benchmark VARCHAR NOT NULL DEFAULT '',   -- the last finished run of each; '' but for evaluate
        cache_key VARCHAR NOT NULL, code_version VARCHAR NOT NULL, config JSON NOT NULL,
        summary JSON NOT NULL, started TIMESTAMP NOT NULL, seconds DOUBLE NOT NULL,
        PRIMARY KEY (stage, benchmark)
    );
    INSERT INTO stage_runs BY NAME
        SELECT *, CASE stage WHEN 'evaluate' THEN 'worldtasks' ELSE '' END AS benchmark FROM earlier_runs;
    DROP TABLE earlier_runs;
    """,
    # 5: what was asked, of what
    """
    ALTER TABLE judgments ADD COLUMN question_sha256 VARCHAR DEFAULT '';   -- text, good answer, end state; '' is asked again
    ALTER TABLE judgments ADD COLUMN mass DOUBLE;                -- p(yes) + p(no)
    ALTER TABLE judgments ADD COLUMN frames INTEGER;             -- of the video handed to the judge
    ALTER TABLE judgments ADD COLUMN height INTEGER;
    ALTER TABLE judgments ADD COLUMN width INTEGER;
    """,
    # 6: the ledger of inputs
    """
    CREATE TABLE files (
        item VARCHAR PRIMARY KEY,            -- path, or manifest and number of the line
        path VARCHAR NOT NULL,               -- the file that it is, or that it names
        fate VARCHAR NOT NULL CHECK (fate IN ('registered', 'rejected', 'ignored')),
        reason VARCHAR NOT NULL, detail VARCHAR NOT NULL,
        frame_id VARCHAR NOT NULL            -- '' where no content stands behind it
    );
    """,
    # 7: paths follow a workspace that moves
    "ALTER TABLE workspace ADD COLUMN root VARCHAR",  # the folder that it was last used in; NULL: not known
    # 8: measurements from outside
    "ALTER TABLE measurements ADD COLUMN extra JSON",  # name -> figure; NULL: none was asked for
    # 9: what a judgment was read from
    """
    ALTER TABLE judgments ADD COLUMN text_sha256 VARCHAR DEFAULT '';   -- of the text that was sent
    ALTER TABLE judgments ADD COLUMN bound BOOLEAN DEFAULT FALSE;      -- log_odds is a bound, the truth is further from 0
    ALTER TABLE judgments ADD COLUMN request VARCHAR DEFAULT '';       -- key of the request log; '' without one
    ALTER TABLE judgments ADD COLUMN evidence JSON;      -- candidates with log-probabilities; NULL: the judge tells none
    ALTER TABLE judgments ADD COLUMN control VARCHAR DEFAULT '';       -- what was done to the video or its task; '' nothing
    """,
    # 10: clips from elsewhere, and evaluations that can be compared later
    """
    ALTER TABLE videos ADD COLUMN frames INTEGER;        -- of a clip from elsewhere; NULL: made here, or not readable
    ALTER TABLE videos ADD COLUMN fps DOUBLE;            -- its frames per second
    CREATE TABLE evaluation_runs (
        evaluation_id VARCHAR PRIMARY KEY, benchmark VARCHAR NOT NULL,
        evaluation JSON NOT NULL,            -- settings, model, adapter, judge, writer and clips: all that names it
        counted TIMESTAMP NOT NULL           -- UTC, the last time
    );
    """,
    # 11: evaluations whole
    """
    DROP TABLE evaluation_runs;
    CREATE TABLE evaluation_runs (
        evaluation_id VARCHAR PRIMARY KEY, benchmark VARCHAR NOT NULL,
        record JSON NOT NULL,                -- a Run: all that names the evaluation, and every verdict
        counted TIMESTAMP NOT NULL           -- UTC, the last time
    );
    """,
    # 12: time
    """
    ALTER TABLE videos ADD COLUMN seconds JSON;              -- of its making, part -> seconds; NULL: not measured
    ALTER TABLE judgments ADD COLUMN seconds DOUBLE;         -- its share of the batch that it was asked in; NULL: not measured
    ALTER TABLE written_solutions ADD COLUMN seconds DOUBLE; -- from request to answer; NULL: not measured
    """,
    # 13: PickScore
    """
    CREATE TABLE picture_scores (
        video_id VARCHAR NOT NULL, scorer VARCHAR NOT NULL,
        score DOUBLE NOT NULL,               -- mean over frames, for the item's task
        first DOUBLE NOT NULL,               -- of the first frame alone
        PRIMARY KEY (video_id, scorer)
    );
    """,
    # 14: what a stage's verdicts were made of
    "ALTER TABLE stage_runs ADD COLUMN members VARCHAR DEFAULT ''",  # digest of the frames it was given; '' of no data stage
    # 15: rejections without an index, whose upkeep took four fifths of the time of a new threshold (`funnel.reject`)
    """
    DROP VIEW usable_pairs;
    ALTER TABLE rejections RENAME TO earlier_rejections;
    CREATE TABLE rejections (
        stage VARCHAR NOT NULL, item VARCHAR NOT NULL, reason VARCHAR NOT NULL,   -- each such row once
        detail VARCHAR NOT NULL, path VARCHAR NOT NULL, config_hash VARCHAR NOT NULL
    );
    INSERT INTO rejections SELECT * FROM earlier_rejections ORDER BY stage, item, reason;
    DROP TABLE earlier_rejections;
    CREATE VIEW usable_pairs AS
        SELECT pair_id FROM task_pairs
        WHERE frame_id NOT IN (SELECT item FROM rejections) AND pair_id NOT IN (SELECT item FROM rejections);
    """,
    # 16: what people say of frames and pairs
    """
    CREATE TABLE tags (
        item VARCHAR PRIMARY KEY,            -- frame id or pair id
        kind VARCHAR NOT NULL CHECK (kind IN ('frame', 'pair')),
        tag VARCHAR NOT NULL,                -- any word; what is tagged 'drop' is turned down by the selection
        note VARCHAR NOT NULL
    );
    """,
    # 17: ids of rejections as they are: looking for a pattern in digits that have none took a fifth of a new threshold's time,
    # and saved half of 64 bytes
    """
    DROP VIEW usable_pairs;
    ALTER TABLE rejections RENAME TO earlier_rejections;
    CREATE TABLE rejections (
        stage VARCHAR NOT NULL, item VARCHAR USING COMPRESSION uncompressed NOT NULL, reason VARCHAR NOT NULL,
        detail VARCHAR NOT NULL, path VARCHAR NOT NULL, config_hash VARCHAR NOT NULL
    );
    INSERT INTO rejections SELECT * FROM earlier_rejections ORDER BY stage, item, reason;
    DROP TABLE earlier_rejections;
    CREATE VIEW usable_pairs AS
        SELECT pair_id FROM task_pairs
        WHERE frame_id NOT IN (SELECT item FROM rejections) AND pair_id NOT IN (SELECT item FROM rejections);
    """,
)

VERSION = len(MIGRATIONS)


def version_of(con: duckdb.DuckDBPyConnection) -> int:
    """The schema version of an open store; 0 for an empty file."""
    try:  # a list of all tables takes ten times as long, and every opening asks
        return con.execute("SELECT max(version) FROM schema_version").fetchall()[0][0]
    except duckdb.CatalogException:
        return 0


def migrate(con: duckdb.DuckDBPyConnection) -> None:
    """Brings an open store to the newest schema: one that has rows by each step in a transaction of its own, a new one by all
    in one, which takes half the time.

    Raises:
        ValueError: the store was written by a newer version of the project.
    """
    found = version_of(con)
    if found > VERSION:
        raise ValueError(f"the store has schema version {found}, this program knows {VERSION}; update the program")
    steps = list(enumerate(MIGRATIONS[found:], start=found + 1))
    for part in [[step] for step in steps] if found else [steps]:
        con.execute("BEGIN")
        con.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        for number, statements in part:
            con.execute(statements)
            con.execute("INSERT INTO schema_version VALUES (?)", [number])
        con.execute("COMMIT")
