import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]

class RevisionStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVISION_STAGE_UNSPECIFIED: _ClassVar[RevisionStage]
    REVISION_STAGE_UNKNOWN: _ClassVar[RevisionStage]
    REVISION_STAGE_SEEN: _ClassVar[RevisionStage]
    REVISION_STAGE_APPLIED: _ClassVar[RevisionStage]
    REVISION_STAGE_READY: _ClassVar[RevisionStage]

class DiffAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIFF_ACTION_UNSPECIFIED: _ClassVar[DiffAction]
    DIFF_ACTION_CREATE: _ClassVar[DiffAction]
    DIFF_ACTION_UPDATE: _ClassVar[DiffAction]
    DIFF_ACTION_DELETE: _ClassVar[DiffAction]
    DIFF_ACTION_HOLD: _ClassVar[DiffAction]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
REVISION_STAGE_UNSPECIFIED: RevisionStage
REVISION_STAGE_UNKNOWN: RevisionStage
REVISION_STAGE_SEEN: RevisionStage
REVISION_STAGE_APPLIED: RevisionStage
REVISION_STAGE_READY: RevisionStage
DIFF_ACTION_UNSPECIFIED: DiffAction
DIFF_ACTION_CREATE: DiffAction
DIFF_ACTION_UPDATE: DiffAction
DIFF_ACTION_DELETE: DiffAction
DIFF_ACTION_HOLD: DiffAction

class VersionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VersionResponse(_message.Message):
    __slots__ = ("version", "python_version")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    version: str
    python_version: str
    def __init__(self, version: _Optional[str] = ..., python_version: _Optional[str] = ...) -> None: ...

class GetRepositoryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRepositoryResponse(_message.Message):
    __slots__ = ("repository",)
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    repository: Repository
    def __init__(self, repository: _Optional[_Union[Repository, _Mapping]] = ...) -> None: ...

class Repository(_message.Message):
    __slots__ = ("url", "branch", "paths", "read_only", "ready", "error", "sync_tag")
    URL_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SYNC_TAG_FIELD_NUMBER: _ClassVar[int]
    url: str
    branch: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    read_only: bool
    ready: bool
    error: str
    sync_tag: str
    def __init__(self, url: _Optional[str] = ..., branch: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., read_only: _Optional[bool] = ..., ready: _Optional[bool] = ..., error: _Optional[str] = ..., sync_tag: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("repository", "revision_seen", "seen_at", "revision_applied", "revision_marked", "marker_error", "last_sync", "failures", "pending_deletions", "deletions_hash", "notices", "workloads_as_of", "restricted", "automation", "scanning", "not_ready")
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    REVISION_SEEN_FIELD_NUMBER: _ClassVar[int]
    SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_APPLIED_FIELD_NUMBER: _ClassVar[int]
    REVISION_MARKED_FIELD_NUMBER: _ClassVar[int]
    MARKER_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_SYNC_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    PENDING_DELETIONS_FIELD_NUMBER: _ClassVar[int]
    DELETIONS_HASH_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_AS_OF_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    AUTOMATION_FIELD_NUMBER: _ClassVar[int]
    SCANNING_FIELD_NUMBER: _ClassVar[int]
    NOT_READY_FIELD_NUMBER: _ClassVar[int]
    repository: Repository
    revision_seen: str
    seen_at: _timestamp_pb2.Timestamp
    revision_applied: str
    revision_marked: str
    marker_error: str
    last_sync: SyncSummary
    failures: _containers.RepeatedCompositeFieldContainer[Failure]
    pending_deletions: _containers.RepeatedCompositeFieldContainer[PendingDeletion]
    deletions_hash: str
    notices: _containers.RepeatedScalarFieldContainer[str]
    workloads_as_of: _timestamp_pb2.Timestamp
    restricted: bool
    automation: Feature
    scanning: Feature
    not_ready: str
    def __init__(self, repository: _Optional[_Union[Repository, _Mapping]] = ..., revision_seen: _Optional[str] = ..., seen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision_applied: _Optional[str] = ..., revision_marked: _Optional[str] = ..., marker_error: _Optional[str] = ..., last_sync: _Optional[_Union[SyncSummary, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[Failure, _Mapping]]] = ..., pending_deletions: _Optional[_Iterable[_Union[PendingDeletion, _Mapping]]] = ..., deletions_hash: _Optional[str] = ..., notices: _Optional[_Iterable[str]] = ..., workloads_as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., restricted: _Optional[bool] = ..., automation: _Optional[_Union[Feature, _Mapping]] = ..., scanning: _Optional[_Union[Feature, _Mapping]] = ..., not_ready: _Optional[str] = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ("enabled", "reason")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    reason: str
    def __init__(self, enabled: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class SyncSummary(_message.Message):
    __slots__ = ("revision", "started_at", "duration", "objects", "applied", "unchanged", "ignored", "deleted", "failed", "remaining", "error")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    revision: str
    started_at: _timestamp_pb2.Timestamp
    duration: _duration_pb2.Duration
    objects: int
    applied: int
    unchanged: int
    ignored: int
    deleted: int
    failed: int
    remaining: int
    error: str
    def __init__(self, revision: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., objects: _Optional[int] = ..., applied: _Optional[int] = ..., unchanged: _Optional[int] = ..., ignored: _Optional[int] = ..., deleted: _Optional[int] = ..., failed: _Optional[int] = ..., remaining: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("object", "path", "line", "reason", "commit", "author")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    object: str
    path: str
    line: int
    reason: str
    commit: str
    author: str
    def __init__(self, object: _Optional[str] = ..., path: _Optional[str] = ..., line: _Optional[int] = ..., reason: _Optional[str] = ..., commit: _Optional[str] = ..., author: _Optional[str] = ...) -> None: ...

class PendingDeletion(_message.Message):
    __slots__ = ("object", "reason")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    object: str
    reason: str
    def __init__(self, object: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ListWorkloadsRequest(_message.Message):
    __slots__ = ("namespace", "page_size", "page_token", "after_version", "wait")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    page_token: str
    after_version: int
    wait: _duration_pb2.Duration
    def __init__(self, namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., after_version: _Optional[int] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListWorkloadsResponse(_message.Message):
    __slots__ = ("workloads", "next_page_token", "version", "restricted")
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.RepeatedCompositeFieldContainer[Workload]
    next_page_token: str
    version: int
    restricted: bool
    def __init__(self, workloads: _Optional[_Iterable[_Union[Workload, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., version: _Optional[int] = ..., restricted: _Optional[bool] = ...) -> None: ...

class Workload(_message.Message):
    __slots__ = ("id", "containers", "read_only", "status", "rollout", "sync_error", "antecedent", "labels", "automated", "locked", "ignore", "policies")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class PoliciesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    SYNC_ERROR_FIELD_NUMBER: _ClassVar[int]
    ANTECEDENT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    AUTOMATED_FIELD_NUMBER: _ClassVar[int]
    LOCKED_FIELD_NUMBER: _ClassVar[int]
    IGNORE_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    id: str
    containers: _containers.RepeatedCompositeFieldContainer[Container]
    read_only: str
    status: str
    rollout: Rollout
    sync_error: str
    antecedent: str
    labels: _containers.ScalarMap[str, str]
    automated: bool
    locked: bool
    ignore: bool
    policies: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., containers: _Optional[_Iterable[_Union[Container, _Mapping]]] = ..., read_only: _Optional[str] = ..., status: _Optional[str] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ..., sync_error: _Optional[str] = ..., antecedent: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., automated: _Optional[bool] = ..., locked: _Optional[bool] = ..., ignore: _Optional[bool] = ..., policies: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Container(_message.Message):
    __slots__ = ("name", "image", "init")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    INIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    image: str
    init: bool
    def __init__(self, name: _Optional[str] = ..., image: _Optional[str] = ..., init: _Optional[bool] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("desired", "updated", "ready", "available", "outdated", "messages")
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    OUTDATED_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    desired: int
    updated: int
    ready: int
    available: int
    outdated: int
    messages: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, desired: _Optional[int] = ..., updated: _Optional[int] = ..., ready: _Optional[int] = ..., available: _Optional[int] = ..., outdated: _Optional[int] = ..., messages: _Optional[_Iterable[str]] = ...) -> None: ...

class SyncRequest(_message.Message):
    __slots__ = ("allow_deletions",)
    ALLOW_DELETIONS_FIELD_NUMBER: _ClassVar[int]
    allow_deletions: str
    def __init__(self, allow_deletions: _Optional[str] = ...) -> None: ...

class SyncResponse(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id", "after_version", "wait")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    after_version: int
    wait: _duration_pb2.Duration
    def __init__(self, job_id: _Optional[str] = ..., after_version: _Optional[int] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "version", "state", "created_at", "error", "hint", "sync", "change")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    state: JobState
    created_at: _timestamp_pb2.Timestamp
    error: str
    hint: str
    sync: SyncJob
    change: ChangeJob
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[JobState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ..., hint: _Optional[str] = ..., sync: _Optional[_Union[SyncJob, _Mapping]] = ..., change: _Optional[_Union[ChangeJob, _Mapping]] = ...) -> None: ...

class ChangeJob(_message.Message):
    __slots__ = ("outcomes", "commit", "dry_run", "notices")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[WorkloadOutcome]
    commit: str
    dry_run: bool
    notices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[WorkloadOutcome, _Mapping]]] = ..., commit: _Optional[str] = ..., dry_run: _Optional[bool] = ..., notices: _Optional[_Iterable[str]] = ...) -> None: ...

class WorkloadOutcome(_message.Message):
    __slots__ = ("workload", "status", "reason", "containers", "details")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    workload: str
    status: str
    reason: str
    containers: _containers.RepeatedCompositeFieldContainer[ContainerChange]
    details: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, workload: _Optional[str] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., containers: _Optional[_Iterable[_Union[ContainerChange, _Mapping]]] = ..., details: _Optional[_Iterable[str]] = ...) -> None: ...

class ContainerChange(_message.Message):
    __slots__ = ("container", "current", "target")
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    container: str
    current: str
    target: str
    def __init__(self, container: _Optional[str] = ..., current: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class Cause(_message.Message):
    __slots__ = ("user", "message")
    USER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    user: str
    message: str
    def __init__(self, user: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("workloads", "all", "namespace", "excludes", "image", "force", "dry_run", "chosen", "cause")
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.RepeatedScalarFieldContainer[str]
    all: bool
    namespace: str
    excludes: _containers.RepeatedScalarFieldContainer[str]
    image: str
    force: bool
    dry_run: bool
    chosen: _containers.RepeatedCompositeFieldContainer[ChosenChange]
    cause: Cause
    def __init__(self, workloads: _Optional[_Iterable[str]] = ..., all: _Optional[bool] = ..., namespace: _Optional[str] = ..., excludes: _Optional[_Iterable[str]] = ..., image: _Optional[str] = ..., force: _Optional[bool] = ..., dry_run: _Optional[bool] = ..., chosen: _Optional[_Iterable[_Union[ChosenChange, _Mapping]]] = ..., cause: _Optional[_Union[Cause, _Mapping]] = ...) -> None: ...

class ChosenChange(_message.Message):
    __slots__ = ("workload", "change")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    workload: str
    change: ContainerChange
    def __init__(self, workload: _Optional[str] = ..., change: _Optional[_Union[ContainerChange, _Mapping]] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class UpdatePoliciesRequest(_message.Message):
    __slots__ = ("changes", "cause")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[PolicyChange]
    cause: Cause
    def __init__(self, changes: _Optional[_Iterable[_Union[PolicyChange, _Mapping]]] = ..., cause: _Optional[_Union[Cause, _Mapping]] = ...) -> None: ...

class PolicyChange(_message.Message):
    __slots__ = ("workload", "set", "remove", "tag_all", "accept")
    class SetEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    TAG_ALL_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    workload: str
    set: _containers.ScalarMap[str, str]
    remove: _containers.RepeatedScalarFieldContainer[str]
    tag_all: str
    accept: bool
    def __init__(self, workload: _Optional[str] = ..., set: _Optional[_Mapping[str, str]] = ..., remove: _Optional[_Iterable[str]] = ..., tag_all: _Optional[str] = ..., accept: _Optional[bool] = ...) -> None: ...

class UpdatePoliciesResponse(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class SyncJob(_message.Message):
    __slots__ = ("url", "branch", "revision", "summary", "failures", "pending_deletions", "deletions_hash", "marker_error", "notices")
    URL_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    PENDING_DELETIONS_FIELD_NUMBER: _ClassVar[int]
    DELETIONS_HASH_FIELD_NUMBER: _ClassVar[int]
    MARKER_ERROR_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    url: str
    branch: str
    revision: str
    summary: SyncSummary
    failures: _containers.RepeatedCompositeFieldContainer[Failure]
    pending_deletions: _containers.RepeatedCompositeFieldContainer[PendingDeletion]
    deletions_hash: str
    marker_error: str
    notices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, url: _Optional[str] = ..., branch: _Optional[str] = ..., revision: _Optional[str] = ..., summary: _Optional[_Union[SyncSummary, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[Failure, _Mapping]]] = ..., pending_deletions: _Optional[_Iterable[_Union[PendingDeletion, _Mapping]]] = ..., deletions_hash: _Optional[str] = ..., marker_error: _Optional[str] = ..., notices: _Optional[_Iterable[str]] = ...) -> None: ...

class GetRevisionRequest(_message.Message):
    __slots__ = ("ref", "after_version", "wait")
    REF_FIELD_NUMBER: _ClassVar[int]
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    ref: str
    after_version: int
    wait: _duration_pb2.Duration
    def __init__(self, ref: _Optional[str] = ..., after_version: _Optional[int] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetRevisionResponse(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: RevisionProgress
    def __init__(self, progress: _Optional[_Union[RevisionProgress, _Mapping]] = ...) -> None: ...

class WaitForRevisionRequest(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: str
    def __init__(self, ref: _Optional[str] = ...) -> None: ...

class WaitForRevisionResponse(_message.Message):
    __slots__ = ("progress",)
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    progress: RevisionProgress
    def __init__(self, progress: _Optional[_Union[RevisionProgress, _Mapping]] = ...) -> None: ...

class RevisionProgress(_message.Message):
    __slots__ = ("ref", "revision", "version", "stage", "failures", "pending", "workloads", "error", "restricted")
    REF_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    ref: str
    revision: str
    version: int
    stage: RevisionStage
    failures: _containers.RepeatedCompositeFieldContainer[Failure]
    pending: _containers.RepeatedCompositeFieldContainer[PendingRollout]
    workloads: int
    error: str
    restricted: bool
    def __init__(self, ref: _Optional[str] = ..., revision: _Optional[str] = ..., version: _Optional[int] = ..., stage: _Optional[_Union[RevisionStage, str]] = ..., failures: _Optional[_Iterable[_Union[Failure, _Mapping]]] = ..., pending: _Optional[_Iterable[_Union[PendingRollout, _Mapping]]] = ..., workloads: _Optional[int] = ..., error: _Optional[str] = ..., restricted: _Optional[bool] = ...) -> None: ...

class PendingRollout(_message.Message):
    __slots__ = ("workload", "status", "rollout")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    workload: str
    status: str
    rollout: Rollout
    def __init__(self, workload: _Optional[str] = ..., status: _Optional[str] = ..., rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class DiffRequest(_message.Message):
    __slots__ = ("ref", "page_size", "page_token")
    REF_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ref: str
    page_size: int
    page_token: str
    def __init__(self, ref: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class DiffResponse(_message.Message):
    __slots__ = ("revision", "objects", "failures", "next_page_token", "restricted")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    revision: str
    objects: _containers.RepeatedCompositeFieldContainer[ObjectDiff]
    failures: _containers.RepeatedCompositeFieldContainer[Failure]
    next_page_token: str
    restricted: bool
    def __init__(self, revision: _Optional[str] = ..., objects: _Optional[_Iterable[_Union[ObjectDiff, _Mapping]]] = ..., failures: _Optional[_Iterable[_Union[Failure, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., restricted: _Optional[bool] = ...) -> None: ...

class ObjectDiff(_message.Message):
    __slots__ = ("object", "api_version", "kind", "namespace", "name", "action", "live", "planned", "path", "reason")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    object: str
    api_version: str
    kind: str
    namespace: str
    name: str
    action: DiffAction
    live: str
    planned: str
    path: str
    reason: str
    def __init__(self, object: _Optional[str] = ..., api_version: _Optional[str] = ..., kind: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., action: _Optional[_Union[DiffAction, str]] = ..., live: _Optional[str] = ..., planned: _Optional[str] = ..., path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("namespace", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("objects", "next_page_token", "restricted", "notices")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[ExportedObject]
    next_page_token: str
    restricted: bool
    notices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, objects: _Optional[_Iterable[_Union[ExportedObject, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., restricted: _Optional[bool] = ..., notices: _Optional[_Iterable[str]] = ...) -> None: ...

class ExportedObject(_message.Message):
    __slots__ = ("kind", "namespace", "name", "yaml")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    kind: str
    namespace: str
    name: str
    yaml: str
    def __init__(self, kind: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., yaml: _Optional[str] = ...) -> None: ...

class GetPublicKeyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPublicKeyResponse(_message.Message):
    __slots__ = ("key", "fingerprint", "randomart")
    KEY_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    RANDOMART_FIELD_NUMBER: _ClassVar[int]
    key: str
    fingerprint: str
    randomart: str
    def __init__(self, key: _Optional[str] = ..., fingerprint: _Optional[str] = ..., randomart: _Optional[str] = ...) -> None: ...

class ListImagesRequest(_message.Message):
    __slots__ = ("namespace", "workload", "limit", "page_size", "page_token", "wait")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    workload: str
    limit: int
    page_size: int
    page_token: str
    wait: _duration_pb2.Duration
    def __init__(self, namespace: _Optional[str] = ..., workload: _Optional[str] = ..., limit: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListImagesResponse(_message.Message):
    __slots__ = ("workloads", "next_page_token", "restricted")
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    workloads: _containers.RepeatedCompositeFieldContainer[WorkloadImages]
    next_page_token: str
    restricted: bool
    def __init__(self, workloads: _Optional[_Iterable[_Union[WorkloadImages, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., restricted: _Optional[bool] = ...) -> None: ...

class WorkloadImages(_message.Message):
    __slots__ = ("id", "containers")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    containers: _containers.RepeatedCompositeFieldContainer[ContainerImages]
    def __init__(self, id: _Optional[str] = ..., containers: _Optional[_Iterable[_Union[ContainerImages, _Mapping]]] = ...) -> None: ...

class ContainerImages(_message.Message):
    __slots__ = ("name", "current", "latest_filtered", "available", "available_error", "available_count", "new_available_count", "filtered_count", "new_filtered_count", "current_place")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    LATEST_FILTERED_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_ERROR_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEW_AVAILABLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILTERED_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEW_FILTERED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_PLACE_FIELD_NUMBER: _ClassVar[int]
    name: str
    current: Image
    latest_filtered: Image
    available: _containers.RepeatedCompositeFieldContainer[Image]
    available_error: str
    available_count: int
    new_available_count: int
    filtered_count: int
    new_filtered_count: int
    current_place: int
    def __init__(self, name: _Optional[str] = ..., current: _Optional[_Union[Image, _Mapping]] = ..., latest_filtered: _Optional[_Union[Image, _Mapping]] = ..., available: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., available_error: _Optional[str] = ..., available_count: _Optional[int] = ..., new_available_count: _Optional[int] = ..., filtered_count: _Optional[int] = ..., new_filtered_count: _Optional[int] = ..., current_place: _Optional[int] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("id", "digest", "image_id", "labels", "created_at", "last_fetched", "error")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_FETCHED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    digest: str
    image_id: str
    labels: _containers.ScalarMap[str, str]
    created_at: _timestamp_pb2.Timestamp
    last_fetched: _timestamp_pb2.Timestamp
    error: str
    def __init__(self, id: _Optional[str] = ..., digest: _Optional[str] = ..., image_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_fetched: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("workload", "container", "image", "wait")
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    workload: str
    container: str
    image: str
    wait: _duration_pb2.Duration
    def __init__(self, workload: _Optional[str] = ..., container: _Optional[str] = ..., image: _Optional[str] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("workload", "policies", "automation", "read_only", "containers")
    class PoliciesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKLOAD_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    AUTOMATION_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    workload: str
    policies: _containers.ScalarMap[str, str]
    automation: Feature
    read_only: str
    containers: _containers.RepeatedCompositeFieldContainer[ContainerExplanation]
    def __init__(self, workload: _Optional[str] = ..., policies: _Optional[_Mapping[str, str]] = ..., automation: _Optional[_Union[Feature, _Mapping]] = ..., read_only: _Optional[str] = ..., containers: _Optional[_Iterable[_Union[ContainerExplanation, _Mapping]]] = ...) -> None: ...

class ContainerExplanation(_message.Message):
    __slots__ = ("name", "current", "pattern", "pattern_error", "order", "by_label", "picked", "update", "reason", "rejected", "rejected_count", "asked", "scan", "taken_back", "taken_back_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    PATTERN_ERROR_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    BY_LABEL_FIELD_NUMBER: _ClassVar[int]
    PICKED_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    SCAN_FIELD_NUMBER: _ClassVar[int]
    TAKEN_BACK_FIELD_NUMBER: _ClassVar[int]
    TAKEN_BACK_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    current: Image
    pattern: str
    pattern_error: str
    order: str
    by_label: bool
    picked: Image
    update: bool
    reason: str
    rejected: _containers.RepeatedCompositeFieldContainer[RejectedImage]
    rejected_count: int
    asked: RejectedImage
    scan: RepositoryScan
    taken_back: str
    taken_back_by: str
    def __init__(self, name: _Optional[str] = ..., current: _Optional[_Union[Image, _Mapping]] = ..., pattern: _Optional[str] = ..., pattern_error: _Optional[str] = ..., order: _Optional[str] = ..., by_label: _Optional[bool] = ..., picked: _Optional[_Union[Image, _Mapping]] = ..., update: _Optional[bool] = ..., reason: _Optional[str] = ..., rejected: _Optional[_Iterable[_Union[RejectedImage, _Mapping]]] = ..., rejected_count: _Optional[int] = ..., asked: _Optional[_Union[RejectedImage, _Mapping]] = ..., scan: _Optional[_Union[RepositoryScan, _Mapping]] = ..., taken_back: _Optional[str] = ..., taken_back_by: _Optional[str] = ...) -> None: ...

class RejectedImage(_message.Message):
    __slots__ = ("tag", "reason")
    TAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tag: str
    reason: str
    def __init__(self, tag: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RepositoryScan(_message.Message):
    __slots__ = ("name", "tags", "known", "scanned_at", "next_scan_at", "error", "credential", "rate", "paused_for")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    SCANNED_AT_FIELD_NUMBER: _ClassVar[int]
    NEXT_SCAN_AT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    tags: int
    known: int
    scanned_at: _timestamp_pb2.Timestamp
    next_scan_at: _timestamp_pb2.Timestamp
    error: str
    credential: str
    rate: float
    paused_for: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., tags: _Optional[int] = ..., known: _Optional[int] = ..., scanned_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_scan_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[str] = ..., credential: _Optional[str] = ..., rate: _Optional[float] = ..., paused_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
