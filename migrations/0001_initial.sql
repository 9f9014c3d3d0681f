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
  vendor_time  INTEGER NOT NULL,      -- the vendor's clock when the call went out
  dated        INTEGER NOT NULL,      -- the vendor had told its time; otherwise ours stands in
  listed_seq   INTEGER NOT NULL,      -- the newest row of listed_jobs then
  expects      TEXT    NOT NULL,      -- JSON: what the vendor's record of it must look like
  opened_at    INTEGER NOT NULL,
  doubt_at     INTEGER,               -- when the outcome became unknown
  doubt_vendor INTEGER,               -- the same by the vendor's clock: the settle time starts here
  healthy      INTEGER NOT NULL DEFAULT 0,  -- ms of the settle time that count so far
  missed       INTEGER NOT NULL DEFAULT 0,  -- a look has failed since the last complete one
  looked_vendor INTEGER,              -- the last complete look, vendor time
  looked_local INTEGER,               -- the same by our clock
  looked_boot  INTEGER,               -- the boot that looked
  looks        INTEGER NOT NULL DEFAULT 0,  -- complete looks that found nothing
  first_look   INTEGER,               -- vendor time of the first of them after the settle time
  settled_at   INTEGER,
  outcome      TEXT,
  evidence     TEXT,
  late_evidence TEXT,                 -- what came to light after it had been taken for absent
  CONSTRAINT intents_settled_with_outcome CHECK ((settled_at IS NULL) = (outcome IS NULL))
) STRICT;
-- The lane: the wrong thing must be impossible, not just avoided.
CREATE UNIQUE INDEX intents_one_open_per_lane ON intents(lane) WHERE settled_at IS NULL;
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

-- Every vendor job id ever seen in the vendor's list.
CREATE TABLE listed_jobs (
  seq           INTEGER PRIMARY KEY AUTOINCREMENT,
  remote_id     TEXT    NOT NULL UNIQUE,
  first_seen_at INTEGER NOT NULL,
  created_at    INTEGER,              -- the vendor's word
  status        TEXT    NOT NULL,
  credits       REAL,
  history       INTEGER NOT NULL DEFAULT 0,   -- was there before our first call: never a candidate
  reserved_by   INTEGER REFERENCES intents(seq), -- may be this call's, which was parked or taken for absent
  training      TEXT,                            -- the entry of this training
  claimed_by    TEXT,                            -- the job that has it, once noticed
  foreign_since INTEGER                          -- no call of ours can have made it
) STRICT;
CREATE INDEX listed_jobs_unplaced ON listed_jobs(seq) WHERE history = 0
  AND reserved_by IS NULL AND training IS NULL AND claimed_by IS NULL AND foreign_since IS NULL;
CREATE INDEX listed_jobs_created  ON listed_jobs(created_at) WHERE created_at IS NOT NULL;
CREATE INDEX listed_jobs_reserved ON listed_jobs(reserved_by) WHERE reserved_by IS NOT NULL;
CREATE INDEX listed_jobs_training ON listed_jobs(training) WHERE training IS NOT NULL;

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
