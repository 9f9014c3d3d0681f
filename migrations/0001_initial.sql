-- The first schema. Times are Unix milliseconds UTC, ids are UUIDv7 text, JSON is text.
-- Each of the six tables of work is one outside effect per row, with the same lifecycle columns
-- (src/domain/work.rs); only src/store/apply.rs changes them.

-- One run of the daemon. Every intent names the boot it was made in.
CREATE TABLE boots (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  started_at INTEGER NOT NULL,
  stopped_at INTEGER,                 -- empty: still running, or killed
  pid        INTEGER NOT NULL,
  version    TEXT NOT NULL
) STRICT;

-- Written and committed before a side-effecting call goes out.
CREATE TABLE intents (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  kind         TEXT    NOT NULL,
  subject      TEXT    NOT NULL,
  attempt      INTEGER NOT NULL,
  lane         TEXT    NOT NULL,      -- calls in one lane go out one at a time
  boot         INTEGER NOT NULL REFERENCES boots(seq),
  request_hash TEXT    NOT NULL,      -- sha256 of the call as it is sent
  request      TEXT    NOT NULL,      -- JSON; never holds the key
  vendor_time  INTEGER NOT NULL,      -- the vendor's clock then; only free effects are judged by it
  listed_seq   INTEGER NOT NULL,      -- the newest row of listed_jobs then
  listed_from  INTEGER,               -- from when on (vendor's time) the last whole list before it showed everything
  expects      TEXT    NOT NULL,      -- JSON: what the vendor's record of it must look like
  opened_at    INTEGER NOT NULL,
  opened_uptime INTEGER NOT NULL,     -- the same by the time since the daemon's start
  lane_free_at INTEGER,               -- since when the lane is open again, in doubt or settled
  doubt_at     INTEGER,               -- when the outcome became unknown
  looking      INTEGER NOT NULL DEFAULT 0,  -- ms of looking in which the vendor was healthy
  missed       INTEGER NOT NULL DEFAULT 0,  -- a look has failed since the last whole one
  looked_at    INTEGER,               -- the last whole look, or the beginning of the doubt
  looked_uptime INTEGER,              -- the same by the machine's time since its start
  looked_boot  INTEGER,               -- the boot that looked
  looks        INTEGER NOT NULL DEFAULT 0,  -- whole looks
  pause        INTEGER NOT NULL DEFAULT 0,  -- ms from the last look to the next
  ripe_since   INTEGER,               -- what looking was at the first of the two looks that prove absence
  fresh        INTEGER NOT NULL DEFAULT 0,  -- found absent with a job that was accepted later as witness
  asked        TEXT,                  -- why a person is asked although the looking goes on
  hole         INTEGER NOT NULL DEFAULT 0,  -- a training: nobody read its model for so long that it may have begun and failed
  settled_at   INTEGER,
  outcome      TEXT,
  evidence     TEXT,
  late_evidence TEXT,                 -- what came to light after it had been taken for absent
  CONSTRAINT intents_settled_with_outcome CHECK ((settled_at IS NULL) = (outcome IS NULL)),
  CONSTRAINT intents_settled_frees_the_lane CHECK (settled_at IS NULL OR lane_free_at IS NOT NULL)
) STRICT;
-- The lane: the wrong thing must be impossible, not just avoided.
CREATE UNIQUE INDEX intents_one_out_per_lane ON intents(lane) WHERE lane_free_at IS NULL;
CREATE INDEX intents_open ON intents(seq) WHERE settled_at IS NULL;
CREATE INDEX intents_subject ON intents(subject);

-- What happened, for ever. A state change and its event are one transaction.
CREATE TABLE events (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  version    INTEGER NOT NULL,
  from_state TEXT,
  to_state   TEXT    NOT NULL,
  cause      TEXT    NOT NULL,
  actor      TEXT    NOT NULL,
  detail     TEXT    NOT NULL,
  CONSTRAINT events_one_per_version UNIQUE (subject, version),
  CONSTRAINT events_detail_is_json CHECK (json_valid(detail))
) STRICT;
CREATE TRIGGER events_append_only_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_append_only_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

-- One execution of a recipe; its state is that of its members.
CREATE TABLE runs (
  id         TEXT PRIMARY KEY,
  name       TEXT    NOT NULL,
  recipe     TEXT    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE models (
  id                  TEXT PRIMARY KEY,
  state               TEXT    NOT NULL,
  due_at              INTEGER,                     -- not before; a running row then follows the poll grid
  waiting_for         INTEGER NOT NULL DEFAULT 0,  -- parents (waiting) or outputs (collecting, attention) missing
  intent              INTEGER REFERENCES intents(seq),
  attempt             INTEGER NOT NULL DEFAULT 0,  -- calls that may have had an effect
  failures            INTEGER NOT NULL DEFAULT 0,  -- soft failures in a row
  absences            INTEGER NOT NULL DEFAULT 0,  -- times it was surely not at the vendor
  version             INTEGER NOT NULL DEFAULT 1,
  remote_id           TEXT,
  accepted_at         INTEGER,
  poll_anchor         INTEGER,                     -- looks happen at poll_anchor + k x interval
  trouble_since       INTEGER,
  cancel_requested_at INTEGER,
  flag                TEXT,
  note                TEXT,
  error               TEXT,
  error_class         TEXT,
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  finished_at         INTEGER,
  retry_of            TEXT,
  retried_by          TEXT,
  run_id              TEXT REFERENCES runs(id),
  name                TEXT NOT NULL,
  age                 INTEGER,        -- the identity is empty for an imported model
  gender              TEXT,
  ethnicity           TEXT,
  eye_color           TEXT,
  imported            INTEGER NOT NULL DEFAULT 0,
  remote_status       TEXT,           -- new, training, ready, deleted or another word of the vendor's
  remote_status_at    INTEGER,
  CONSTRAINT models_state_known CHECK (state IN ('waiting','queued','submitting','in_doubt','running',
    'collecting','attention','succeeded','failed','cancelled')),
  CONSTRAINT models_finished_iff_terminal CHECK
    ((state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)),
  -- A row that nobody would ever wake must be unrepresentable.
  CONSTRAINT models_something_wakes_it CHECK (CASE state
    WHEN 'waiting'    THEN waiting_for > 0 AND due_at IS NULL
    WHEN 'queued'     THEN due_at IS NOT NULL AND waiting_for = 0
    WHEN 'submitting' THEN intent IS NOT NULL
    WHEN 'in_doubt'   THEN intent IS NOT NULL AND due_at IS NOT NULL
    WHEN 'running'    THEN due_at IS NOT NULL AND poll_anchor IS NOT NULL
    WHEN 'collecting' THEN due_at IS NOT NULL
    WHEN 'attention'  THEN error IS NOT NULL AND due_at IS NULL
    ELSE due_at IS NULL END),
  CONSTRAINT models_intent_iff_call_open CHECK ((state IN ('submitting','in_doubt')) = (intent IS NOT NULL)),
  CONSTRAINT models_failed_for_a_reason CHECK (state <> 'failed' OR error IS NOT NULL),
  CONSTRAINT models_error_has_a_class CHECK ((error IS NULL) = (error_class IS NULL))
) STRICT;
CREATE INDEX models_queued  ON models(due_at, id) WHERE state = 'queued';
CREATE INDEX models_look    ON models(due_at, id) WHERE state IN ('in_doubt','collecting') AND due_at IS NOT NULL;
CREATE INDEX models_running ON models(id, due_at) WHERE state = 'running';
CREATE INDEX models_submitting ON models(id) WHERE state = 'submitting';
CREATE INDEX models_attention ON models(id) WHERE state = 'attention';
CREATE INDEX models_unsent ON models(created_at) WHERE state = 'queued' AND failures > 0;
CREATE INDEX models_by_remote_id ON models(remote_id) WHERE remote_id IS NOT NULL;
CREATE UNIQUE INDEX models_remote_id ON models(remote_id) WHERE remote_id IS NOT NULL AND retried_by IS NULL;

CREATE TABLE uploads (
  id                  TEXT PRIMARY KEY,
  state               TEXT    NOT NULL,
  due_at              INTEGER,                     -- not before; a running row then follows the poll grid
  waiting_for         INTEGER NOT NULL DEFAULT 0,  -- parents (waiting) or outputs (collecting, attention) missing
  intent              INTEGER REFERENCES intents(seq),
  attempt             INTEGER NOT NULL DEFAULT 0,  -- calls that may have had an effect
  failures            INTEGER NOT NULL DEFAULT 0,  -- soft failures in a row
  absences            INTEGER NOT NULL DEFAULT 0,  -- times it was surely not at the vendor
  version             INTEGER NOT NULL DEFAULT 1,
  remote_id           TEXT,
  accepted_at         INTEGER,
  poll_anchor         INTEGER,                     -- looks happen at poll_anchor + k x interval
  trouble_since       INTEGER,
  cancel_requested_at INTEGER,
  flag                TEXT,
  note                TEXT,
  error               TEXT,
  error_class         TEXT,
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  finished_at         INTEGER,
  retry_of            TEXT,
  retried_by          TEXT,
  model_id            TEXT NOT NULL REFERENCES models(id),
  purpose             TEXT NOT NULL,
  file_name           TEXT NOT NULL,
  sha256              TEXT NOT NULL,  -- the copy is blobs/<first two>/<sha256>
  bytes               INTEGER NOT NULL,
  media_type          TEXT NOT NULL,
  remote_url          TEXT,
  CONSTRAINT uploads_purpose_known CHECK (purpose IN ('training','reference')),
  CONSTRAINT uploads_state_known CHECK (state IN ('waiting','queued','submitting','in_doubt','running',
    'collecting','attention','succeeded','failed','cancelled')),
  CONSTRAINT uploads_finished_iff_terminal CHECK
    ((state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)),
  -- A row that nobody would ever wake must be unrepresentable.
  CONSTRAINT uploads_something_wakes_it CHECK (CASE state
    WHEN 'waiting'    THEN waiting_for > 0 AND due_at IS NULL
    WHEN 'queued'     THEN due_at IS NOT NULL AND waiting_for = 0
    WHEN 'submitting' THEN intent IS NOT NULL
    WHEN 'in_doubt'   THEN intent IS NOT NULL AND due_at IS NOT NULL
    WHEN 'running'    THEN due_at IS NOT NULL AND poll_anchor IS NOT NULL
    WHEN 'collecting' THEN due_at IS NOT NULL
    WHEN 'attention'  THEN error IS NOT NULL AND due_at IS NULL
    ELSE due_at IS NULL END),
  CONSTRAINT uploads_intent_iff_call_open CHECK ((state IN ('submitting','in_doubt')) = (intent IS NOT NULL)),
  CONSTRAINT uploads_failed_for_a_reason CHECK (state <> 'failed' OR error IS NOT NULL),
  CONSTRAINT uploads_error_has_a_class CHECK ((error IS NULL) = (error_class IS NULL))
) STRICT;
CREATE INDEX uploads_queued  ON uploads(due_at, id) WHERE state = 'queued';
CREATE INDEX uploads_look    ON uploads(due_at, id) WHERE state IN ('in_doubt','collecting') AND due_at IS NOT NULL;
CREATE INDEX uploads_running ON uploads(id, due_at) WHERE state = 'running';
CREATE INDEX uploads_submitting ON uploads(id) WHERE state = 'submitting';
CREATE INDEX uploads_attention ON uploads(id) WHERE state = 'attention';
CREATE INDEX uploads_unsent ON uploads(created_at) WHERE state = 'queued' AND failures > 0;
CREATE INDEX uploads_by_remote_id ON uploads(remote_id) WHERE remote_id IS NOT NULL;
CREATE UNIQUE INDEX uploads_remote_id ON uploads(remote_id) WHERE remote_id IS NOT NULL AND retried_by IS NULL;
CREATE INDEX uploads_model ON uploads(model_id);
CREATE INDEX uploads_lane  ON uploads(model_id, id) WHERE state = 'queued';

CREATE TABLE trainings (
  id                  TEXT PRIMARY KEY,
  state               TEXT    NOT NULL,
  due_at              INTEGER,                     -- not before; a running row then follows the poll grid
  waiting_for         INTEGER NOT NULL DEFAULT 0,  -- parents (waiting) or outputs (collecting, attention) missing
  intent              INTEGER REFERENCES intents(seq),
  attempt             INTEGER NOT NULL DEFAULT 0,  -- calls that may have had an effect
  failures            INTEGER NOT NULL DEFAULT 0,  -- soft failures in a row
  absences            INTEGER NOT NULL DEFAULT 0,  -- times it was surely not at the vendor
  version             INTEGER NOT NULL DEFAULT 1,
  remote_id           TEXT,
  accepted_at         INTEGER,
  poll_anchor         INTEGER,                     -- looks happen at poll_anchor + k x interval
  trouble_since       INTEGER,
  cancel_requested_at INTEGER,
  flag                TEXT,
  note                TEXT,
  error               TEXT,
  error_class         TEXT,
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  finished_at         INTEGER,
  retry_of            TEXT,
  retried_by          TEXT,
  model_id            TEXT NOT NULL REFERENCES models(id),
  run_id              TEXT REFERENCES runs(id),
  remote_status       TEXT,
  CONSTRAINT trainings_state_known CHECK (state IN ('waiting','queued','submitting','in_doubt','running',
    'collecting','attention','succeeded','failed','cancelled')),
  CONSTRAINT trainings_finished_iff_terminal CHECK
    ((state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)),
  -- A row that nobody would ever wake must be unrepresentable.
  CONSTRAINT trainings_something_wakes_it CHECK (CASE state
    WHEN 'waiting'    THEN waiting_for > 0 AND due_at IS NULL
    WHEN 'queued'     THEN due_at IS NOT NULL AND waiting_for = 0
    WHEN 'submitting' THEN intent IS NOT NULL
    WHEN 'in_doubt'   THEN intent IS NOT NULL AND due_at IS NOT NULL
    WHEN 'running'    THEN due_at IS NOT NULL AND poll_anchor IS NOT NULL
    WHEN 'collecting' THEN due_at IS NOT NULL
    WHEN 'attention'  THEN error IS NOT NULL AND due_at IS NULL
    ELSE due_at IS NULL END),
  CONSTRAINT trainings_intent_iff_call_open CHECK ((state IN ('submitting','in_doubt')) = (intent IS NOT NULL)),
  CONSTRAINT trainings_failed_for_a_reason CHECK (state <> 'failed' OR error IS NOT NULL),
  CONSTRAINT trainings_error_has_a_class CHECK ((error IS NULL) = (error_class IS NULL))
) STRICT;
CREATE INDEX trainings_queued  ON trainings(due_at, id) WHERE state = 'queued';
CREATE INDEX trainings_look    ON trainings(due_at, id) WHERE state IN ('in_doubt','collecting') AND due_at IS NOT NULL;
CREATE INDEX trainings_running ON trainings(id, due_at) WHERE state = 'running';
CREATE INDEX trainings_submitting ON trainings(id) WHERE state = 'submitting';
CREATE INDEX trainings_attention ON trainings(id) WHERE state = 'attention';
CREATE INDEX trainings_unsent ON trainings(created_at) WHERE state = 'queued' AND failures > 0;
CREATE INDEX trainings_model ON trainings(model_id);
-- A second purchase of the same training must be impossible while one is open.
CREATE UNIQUE INDEX trainings_one_live_per_model ON trainings(model_id) WHERE finished_at IS NULL;

CREATE TABLE jobs (
  id                  TEXT PRIMARY KEY,
  state               TEXT    NOT NULL,
  due_at              INTEGER,                     -- not before; a running row then follows the poll grid
  waiting_for         INTEGER NOT NULL DEFAULT 0,  -- parents (waiting) or outputs (collecting, attention) missing
  intent              INTEGER REFERENCES intents(seq),
  attempt             INTEGER NOT NULL DEFAULT 0,  -- calls that may have had an effect
  failures            INTEGER NOT NULL DEFAULT 0,  -- soft failures in a row
  absences            INTEGER NOT NULL DEFAULT 0,  -- times it was surely not at the vendor
  version             INTEGER NOT NULL DEFAULT 1,
  remote_id           TEXT,
  accepted_at         INTEGER,
  poll_anchor         INTEGER,                     -- looks happen at poll_anchor + k x interval
  trouble_since       INTEGER,
  cancel_requested_at INTEGER,
  flag                TEXT,
  note                TEXT,
  error               TEXT,
  error_class         TEXT,
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  finished_at         INTEGER,
  retry_of            TEXT,
  retried_by          TEXT,
  type                TEXT NOT NULL,
  model_id            TEXT REFERENCES models(id),
  model_name          TEXT,           -- a public model's id at the vendor
  request             TEXT NOT NULL,  -- JSON, in our words
  prompt              TEXT,
  run_id              TEXT REFERENCES runs(id),
  step                TEXT,
  remote_status       TEXT,
  credits             REAL,           -- as the vendor's list says
  CONSTRAINT jobs_type_known CHECK (type IN ('image','upscale','video')),
  CONSTRAINT jobs_request_is_json CHECK (json_valid(request)),
  CONSTRAINT jobs_state_known CHECK (state IN ('waiting','queued','submitting','in_doubt','running',
    'collecting','attention','succeeded','failed','cancelled')),
  CONSTRAINT jobs_finished_iff_terminal CHECK
    ((state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)),
  -- A row that nobody would ever wake must be unrepresentable.
  CONSTRAINT jobs_something_wakes_it CHECK (CASE state
    WHEN 'waiting'    THEN waiting_for > 0 AND due_at IS NULL
    WHEN 'queued'     THEN due_at IS NOT NULL AND waiting_for = 0
    WHEN 'submitting' THEN intent IS NOT NULL
    WHEN 'in_doubt'   THEN intent IS NOT NULL AND due_at IS NOT NULL
    WHEN 'running'    THEN due_at IS NOT NULL AND poll_anchor IS NOT NULL
    WHEN 'collecting' THEN waiting_for > 0 AND due_at IS NULL
    WHEN 'attention'  THEN error IS NOT NULL AND due_at IS NULL
    ELSE due_at IS NULL END),
  CONSTRAINT jobs_intent_iff_call_open CHECK ((state IN ('submitting','in_doubt')) = (intent IS NOT NULL)),
  CONSTRAINT jobs_failed_for_a_reason CHECK (state <> 'failed' OR error IS NOT NULL),
  CONSTRAINT jobs_error_has_a_class CHECK ((error IS NULL) = (error_class IS NULL))
) STRICT;
CREATE INDEX jobs_queued  ON jobs(due_at, id) WHERE state = 'queued';
CREATE INDEX jobs_look    ON jobs(due_at, id) WHERE state IN ('in_doubt','collecting') AND due_at IS NOT NULL;
CREATE INDEX jobs_running ON jobs(id, due_at) WHERE state = 'running';
CREATE INDEX jobs_submitting ON jobs(id) WHERE state = 'submitting';
CREATE INDEX jobs_attention ON jobs(id) WHERE state = 'attention';
CREATE INDEX jobs_unsent ON jobs(created_at) WHERE state = 'queued' AND failures > 0;
CREATE INDEX jobs_by_remote_id ON jobs(remote_id) WHERE remote_id IS NOT NULL;
CREATE UNIQUE INDEX jobs_remote_id ON jobs(remote_id) WHERE remote_id IS NOT NULL AND retried_by IS NULL;
-- What the vendor must know still, newest first.
CREATE INDEX jobs_known ON jobs(accepted_at) WHERE remote_id IS NOT NULL AND retried_by IS NULL AND state <> 'running';
CREATE INDEX jobs_created ON jobs(created_at, id);
CREATE INDEX jobs_of_model ON jobs(model_id) WHERE model_id IS NOT NULL;
-- What an upscale enlarges.
CREATE INDEX jobs_enlarges ON jobs(coalesce(json_extract(request, '$.image.output'),
  json_extract(request, '$.image.upload'))) WHERE type = 'upscale';
CREATE INDEX jobs_run ON jobs(run_id) WHERE run_id IS NOT NULL;

CREATE TABLE outputs (
  id                  TEXT PRIMARY KEY,
  state               TEXT    NOT NULL,
  due_at              INTEGER,                     -- not before; a running row then follows the poll grid
  waiting_for         INTEGER NOT NULL DEFAULT 0,  -- parents (waiting) or outputs (collecting, attention) missing
  intent              INTEGER REFERENCES intents(seq),
  attempt             INTEGER NOT NULL DEFAULT 0,  -- calls that may have had an effect
  failures            INTEGER NOT NULL DEFAULT 0,  -- soft failures in a row
  absences            INTEGER NOT NULL DEFAULT 0,  -- times it was surely not at the vendor
  version             INTEGER NOT NULL DEFAULT 1,
  remote_id           TEXT,
  accepted_at         INTEGER,
  poll_anchor         INTEGER,                     -- looks happen at poll_anchor + k x interval
  trouble_since       INTEGER,
  cancel_requested_at INTEGER,
  flag                TEXT,
  note                TEXT,
  error               TEXT,
  error_class         TEXT,
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  finished_at         INTEGER,
  retry_of            TEXT,
  retried_by          TEXT,
  job_id              TEXT NOT NULL REFERENCES jobs(id),
  position            INTEGER NOT NULL,
  media               TEXT NOT NULL,
  remote_url          TEXT,           -- the link last seen; may have expired
  path                TEXT,           -- below the data directory
  sha256              TEXT,
  bytes               INTEGER,
  media_type          TEXT,
  CONSTRAINT outputs_media_known CHECK (media IN ('image','video')),
  CONSTRAINT outputs_home_iff_succeeded CHECK (state NOT IN ('succeeded') OR
    (path IS NOT NULL AND sha256 IS NOT NULL AND bytes IS NOT NULL AND media_type IS NOT NULL)),
  CONSTRAINT outputs_position_unique UNIQUE (job_id, position),
  CONSTRAINT outputs_state_known CHECK (state IN ('waiting','queued','submitting','in_doubt','running',
    'collecting','attention','succeeded','failed','cancelled')),
  CONSTRAINT outputs_finished_iff_terminal CHECK
    ((state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)),
  -- A row that nobody would ever wake must be unrepresentable.
  CONSTRAINT outputs_something_wakes_it CHECK (CASE state
    WHEN 'waiting'    THEN waiting_for > 0 AND due_at IS NULL
    WHEN 'queued'     THEN due_at IS NOT NULL AND waiting_for = 0
    WHEN 'submitting' THEN intent IS NOT NULL
    WHEN 'in_doubt'   THEN intent IS NOT NULL AND due_at IS NOT NULL
    WHEN 'running'    THEN due_at IS NOT NULL AND poll_anchor IS NOT NULL
    WHEN 'collecting' THEN due_at IS NOT NULL
    WHEN 'attention'  THEN error IS NOT NULL AND due_at IS NULL
    ELSE due_at IS NULL END),
  CONSTRAINT outputs_intent_iff_call_open CHECK ((state IN ('submitting','in_doubt')) = (intent IS NOT NULL)),
  CONSTRAINT outputs_failed_for_a_reason CHECK (state <> 'failed' OR error IS NOT NULL),
  CONSTRAINT outputs_error_has_a_class CHECK ((error IS NULL) = (error_class IS NULL))
) STRICT;
CREATE INDEX outputs_queued  ON outputs(due_at, id) WHERE state = 'queued';
CREATE INDEX outputs_look    ON outputs(due_at, id) WHERE state IN ('in_doubt','collecting') AND due_at IS NOT NULL;
CREATE INDEX outputs_running ON outputs(id, due_at) WHERE state = 'running';
CREATE INDEX outputs_submitting ON outputs(id) WHERE state = 'submitting';
CREATE INDEX outputs_attention ON outputs(id) WHERE state = 'attention';
CREATE INDEX outputs_remote_id ON outputs(remote_id);
CREATE INDEX outputs_videos ON outputs(created_at, id) WHERE media = 'video';

-- Durable updates and deletes of things at the vendor.
CREATE TABLE changes (
  id                  TEXT PRIMARY KEY,
  state               TEXT    NOT NULL,
  due_at              INTEGER,                     -- not before; a running row then follows the poll grid
  waiting_for         INTEGER NOT NULL DEFAULT 0,  -- parents (waiting) or outputs (collecting, attention) missing
  intent              INTEGER REFERENCES intents(seq),
  attempt             INTEGER NOT NULL DEFAULT 0,  -- calls that may have had an effect
  failures            INTEGER NOT NULL DEFAULT 0,  -- soft failures in a row
  absences            INTEGER NOT NULL DEFAULT 0,  -- times it was surely not at the vendor
  version             INTEGER NOT NULL DEFAULT 1,
  remote_id           TEXT,
  accepted_at         INTEGER,
  poll_anchor         INTEGER,                     -- looks happen at poll_anchor + k x interval
  trouble_since       INTEGER,
  cancel_requested_at INTEGER,
  flag                TEXT,
  note                TEXT,
  error               TEXT,
  error_class         TEXT,
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  finished_at         INTEGER,
  retry_of            TEXT,
  retried_by          TEXT,
  target_kind         TEXT NOT NULL,
  target              TEXT NOT NULL,  -- a row of ours
  model_id            TEXT REFERENCES models(id),  -- whose it is, if it is a model's
  action              TEXT NOT NULL,
  fields              TEXT NOT NULL DEFAULT '{}',
  CONSTRAINT changes_action_known CHECK (action IN ('update','delete')),
  CONSTRAINT changes_target_known CHECK (target_kind IN ('model','upload','output')),
  CONSTRAINT changes_model_is_its_own CHECK (target_kind <> 'model' OR target = model_id),
  CONSTRAINT changes_only_models_are_updated CHECK (target_kind = 'model' OR action = 'delete'),
  CONSTRAINT changes_fields_are_json CHECK (json_valid(fields)),
  CONSTRAINT changes_state_known CHECK (state IN ('waiting','queued','submitting','in_doubt','running',
    'collecting','attention','succeeded','failed','cancelled')),
  CONSTRAINT changes_finished_iff_terminal CHECK
    ((state IN ('succeeded','failed','cancelled')) = (finished_at IS NOT NULL)),
  -- A row that nobody would ever wake must be unrepresentable.
  CONSTRAINT changes_something_wakes_it CHECK (CASE state
    WHEN 'waiting'    THEN waiting_for > 0 AND due_at IS NULL
    WHEN 'queued'     THEN due_at IS NOT NULL AND waiting_for = 0
    WHEN 'submitting' THEN intent IS NOT NULL
    WHEN 'in_doubt'   THEN intent IS NOT NULL AND due_at IS NOT NULL
    WHEN 'running'    THEN due_at IS NOT NULL AND poll_anchor IS NOT NULL
    WHEN 'collecting' THEN due_at IS NOT NULL
    WHEN 'attention'  THEN error IS NOT NULL AND due_at IS NULL
    ELSE due_at IS NULL END),
  CONSTRAINT changes_intent_iff_call_open CHECK ((state IN ('submitting','in_doubt')) = (intent IS NOT NULL)),
  CONSTRAINT changes_failed_for_a_reason CHECK (state <> 'failed' OR error IS NOT NULL),
  CONSTRAINT changes_error_has_a_class CHECK ((error IS NULL) = (error_class IS NULL))
) STRICT;
CREATE INDEX changes_queued  ON changes(due_at, id) WHERE state = 'queued';
CREATE INDEX changes_look    ON changes(due_at, id) WHERE state IN ('in_doubt','collecting') AND due_at IS NOT NULL;
CREATE INDEX changes_running ON changes(id, due_at) WHERE state = 'running';
CREATE INDEX changes_submitting ON changes(id) WHERE state = 'submitting';
CREATE INDEX changes_attention ON changes(id) WHERE state = 'attention';
CREATE INDEX changes_lane ON changes(target, id) WHERE state IN ('queued','submitting');
CREATE INDEX changes_target ON changes(target, action);
CREATE INDEX changes_model ON changes(model_id) WHERE model_id IS NOT NULL;

-- Who waits for whom. waiting_for of the child counts its unsatisfied rows here.
CREATE TABLE dependencies (
  child        TEXT NOT NULL,
  child_kind   TEXT NOT NULL,
  parent       TEXT NOT NULL,
  parent_kind  TEXT NOT NULL,
  satisfied_at INTEGER,
  PRIMARY KEY (child, parent)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependencies_open ON dependencies(parent) WHERE satisfied_at IS NULL;

-- Every vendor job id ever seen in the vendor's list. What no row claims is unplaced, or one of:
-- history, a possible duplicate, a training's entry, a stranger's; or a person has said what it is.
CREATE TABLE listed_jobs (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  remote_id     TEXT    NOT NULL UNIQUE,
  first_seen_at INTEGER NOT NULL,
  created_at    INTEGER,              -- the vendor's word
  status        TEXT    NOT NULL,
  credits       REAL,
  record        TEXT,                 -- JSON: what its own record said when it was last read; `null`: unreadable
  history       INTEGER NOT NULL DEFAULT 0,   -- was there before our first call: never a candidate
  reserved_by   INTEGER REFERENCES intents(seq), -- a candidate of this call, which waits for a person
  duplicate_of  INTEGER REFERENCES intents(seq), -- perhaps bought twice: what this call had bought, or may have
  training      TEXT,                            -- the entry of this training
  claimed_by    TEXT,                            -- the job that has it, once noticed
  foreign_since INTEGER,                         -- no call of ours can have made it
  gap           INTEGER NOT NULL DEFAULT 0,      -- came to light when this file was put back: made by another copy of it, it seems
  answer        TEXT,                            -- what a person said it is
  answered_by   TEXT,
  answered_at   INTEGER,
  CONSTRAINT listed_jobs_record_is_json CHECK (record IS NULL OR json_valid(record)),
  CONSTRAINT listed_jobs_answer_known CHECK (answer IN ('bought_twice','not_ours')),
  CONSTRAINT listed_jobs_answered CHECK ((answer IS NULL) = (answered_at IS NULL) AND (answer IS NULL) = (answered_by IS NULL))
) STRICT;
CREATE INDEX listed_jobs_unplaced ON listed_jobs(seq) WHERE history = 0 AND duplicate_of IS NULL
  AND training IS NULL AND claimed_by IS NULL AND foreign_since IS NULL AND answer IS NULL;
-- What people are shown: everything that no row claims and that is not history.
CREATE INDEX listed_jobs_unclaimed ON listed_jobs(seq) WHERE history = 0 AND claimed_by IS NULL;
CREATE INDEX listed_jobs_created  ON listed_jobs(created_at) WHERE created_at IS NOT NULL;
CREATE INDEX listed_jobs_reserved ON listed_jobs(reserved_by) WHERE reserved_by IS NOT NULL;
CREATE INDEX listed_jobs_duplicate ON listed_jobs(duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX listed_jobs_gap ON listed_jobs(seq) WHERE gap = 1;
CREATE INDEX listed_jobs_training ON listed_jobs(training) WHERE training IS NOT NULL;
CREATE INDEX listed_jobs_answered ON listed_jobs(answer) WHERE answer IS NOT NULL;
CREATE INDEX listed_jobs_strangers ON listed_jobs(record ->> '$.model')
  WHERE foreign_since IS NOT NULL AND record IS NOT NULL;

-- Jobs from when another copy of this file was at work that may be these rows', of which this file
-- says that they were never sent. They were shown to a person, who decides once.
CREATE TABLE fitting (
  subject   TEXT    NOT NULL,
  remote_id TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (subject, remote_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX fitting_remote_id ON fitting(remote_id);

-- A person's word that a job at the vendor is not this row's.
CREATE TABLE not_this (
  subject   TEXT    NOT NULL,
  remote_id TEXT    NOT NULL,
  by        TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (subject, remote_id)
) STRICT, WITHOUT ROWID;

-- Jobs that a whole list should have shown and did not: the list is late, lacks them, or the vendor
-- has taken them off. Shown again, a job leaves this table.
CREATE TABLE missing (
  remote_id   TEXT PRIMARY KEY,
  accepted_at INTEGER NOT NULL,       -- when we knew that the vendor had it
  ever_shown  INTEGER NOT NULL,
  since       INTEGER NOT NULL,       -- when a whole list missed it first
  readings    INTEGER NOT NULL,       -- whole lists with newer jobs that missed it
  says        TEXT    NOT NULL,       -- late, taken_off, lacks
  answered_at INTEGER,                -- a person has said that the list may be believed all the same
  CONSTRAINT missing_says_known CHECK (says IN ('late','taken_off','lacks'))
) STRICT, WITHOUT ROWID;

-- What each paid call came to: one row per intent of the paid lane.
CREATE TABLE ledger (
  intent     INTEGER PRIMARY KEY REFERENCES intents(seq),
  kind       TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  outcome    TEXT    NOT NULL,
  remote_id  TEXT,                    -- what was bought
  credits    REAL,                    -- as the vendor's list says; unknown until it does
  opened_at  INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  CONSTRAINT ledger_paid_kinds CHECK (kind IN ('training','job')),
  CONSTRAINT ledger_state_fits_outcome CHECK (state || '/' || outcome IN ('reserved/open',
    'settled/accepted', 'released/refused', 'released/not_sent', 'released/absent', 'held/parked')),
  CONSTRAINT ledger_bought_iff_accepted CHECK ((outcome = 'accepted') = (remote_id IS NOT NULL))
) STRICT;
CREATE INDEX ledger_subject ON ledger(subject);
CREATE INDEX ledger_remote_id ON ledger(remote_id) WHERE remote_id IS NOT NULL;
-- Calls that have no job: what comes to light may be theirs.
CREATE INDEX ledger_without ON ledger(intent) WHERE outcome IN ('open','parked','absent');

-- Same key, same work: running a command twice buys once.
CREATE TABLE idempotency_keys (
  key          TEXT PRIMARY KEY,
  request_hash TEXT    NOT NULL,
  kind         TEXT    NOT NULL,
  subject      TEXT    NOT NULL,
  created_at   INTEGER NOT NULL
) STRICT;

-- The same for programs that talk HTTP (Idempotency-Key): what they were answered, stored in one
-- transaction with the work.
CREATE TABLE replies (
  scope        TEXT    NOT NULL,
  key          TEXT    NOT NULL,
  request_hash TEXT    NOT NULL,
  status       INTEGER NOT NULL,
  body         TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (scope, key),
  CONSTRAINT replies_scope_known CHECK (scope IN ('gateway','api')),
  CONSTRAINT replies_body_is_json CHECK (json_valid(body))
) STRICT, WITHOUT ROWID;

-- Pauses with their reasons, the account and address this file belongs to, what the daemon learnt.
CREATE TABLE settings (
  name       TEXT PRIMARY KEY,
  value      TEXT    NOT NULL,
  updated_at INTEGER NOT NULL,
  CONSTRAINT settings_value_is_json CHECK (json_valid(value))
) STRICT;

-- How long the vendor takes, learnt from the last jobs of each kind and model (src/domain/duration.rs):
-- the first look at a new one comes when it can find something. Small and bounded; losing it costs
-- a few reads.
CREATE TABLE durations (
  kind       TEXT    NOT NULL,        -- image, upscale, video or training
  model      TEXT    NOT NULL,        -- a public model's id, `trained` for any trained one
  learnt     TEXT    NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (kind, model),
  CONSTRAINT durations_learnt_is_json CHECK (json_valid(learnt))
) STRICT, WITHOUT ROWID;

-- A hash chain over calls and their outcomes: one entry when an intent opens, one when it settles,
-- one when a person releases a quarantine. Harmless repeats (downloads, changes) are left out. The
-- high-water file beside the database names an entry of it, so that an older copy is noticed.
CREATE TABLE chain (
  seq    INTEGER PRIMARY KEY,         -- without gaps, from 1
  at     INTEGER NOT NULL,
  intent INTEGER REFERENCES intents(seq),
  what   TEXT    NOT NULL,
  note   TEXT,                        -- JSON: who released what and why
  digest TEXT    NOT NULL,            -- sha256 of what the intent's row (or the note) says then
  head   TEXT    NOT NULL,            -- sha256 of the previous head, seq, what and digest
  CONSTRAINT chain_what_known CHECK (what IN ('opened','settled','released')),
  CONSTRAINT chain_about_something CHECK ((what = 'released') = (intent IS NULL)),
  CONSTRAINT chain_release_is_explained CHECK ((what = 'released') = (note IS NOT NULL AND json_valid(note))),
  CONSTRAINT chain_once UNIQUE (intent, what)
) STRICT;
CREATE INDEX chain_released ON chain(seq) WHERE what = 'released';
CREATE TRIGGER chain_append_only_update BEFORE UPDATE ON chain
BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
CREATE TRIGGER chain_append_only_delete BEFORE DELETE ON chain
BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
