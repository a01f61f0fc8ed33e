"""Every error this package raises on purpose.

IEMBatchError
├── SettingsError            a value that cannot be used; says what is allowed
├── SourceError              the image collection cannot be listed or opened
├── MaskError                masks in files, such as ground truth, cannot be used for a run
├── StorageError             the run folder cannot be read or written
│   ├── CredentialsError     a store does not accept who asks
│   └── TooLargeError        a file has more bytes than may be read
├── RunMismatchError         the run folder belongs to another plan or other settings
├── IntegrityError           counts do not add up: an image was lost or counted twice
├── StepMissingError         a step needs the output of one that has not run
├── BackendUnavailableError  an engine cannot run on this machine, or a package is missing; says why
├── DeviceLostError          a GPU or an engine stopped working under a process; another can go on
├── ShardsFailedError        a run ended with shards that could not be done
├── NoImagesError            a step is done, and has not one image
├── WorkerKilledError        a child process died or was stopped while it worked on a shard
├── WorkerMemoryError        an image needs more memory than a worker may take
├── VerificationError        a run folder is not what its plan and its marks say
└── ImageRejectedError       one image cannot be used; becomes a quarantine row
"""


class IEMBatchError(Exception):
    """Base of all errors of this package; the command line prints it without a traceback."""


class SettingsError(IEMBatchError, ValueError):
    """A setting has a value that cannot be used."""


class SourceError(IEMBatchError):
    """The image collection cannot be listed or opened."""


class MaskError(IEMBatchError):
    """Masks in files, such as ground truth, cannot be used for the images of a run."""


class StorageError(IEMBatchError):
    """The run folder cannot be read or written."""


class CredentialsError(StorageError):
    """A store does not accept the credentials it is asked with, whatever it is asked for."""


class TooLargeError(StorageError):
    """A file, or the answer of a server, has more bytes than may be read; it was not read."""


class RunMismatchError(IEMBatchError):
    """The run folder was made from another plan or with other settings."""


class IntegrityError(IEMBatchError):
    """Counts of images do not add up; nothing is marked as done."""


class StepMissingError(IEMBatchError):
    """A step needs the output of another step that has not finished.

    Args:
        message: for a person.
        step: the step that has not finished; None where another cause is.
    """

    def __init__(self, message: str, step: str | None = None) -> None:
        super().__init__(message)
        self.step = step


class BackendUnavailableError(IEMBatchError):
    """An engine cannot run here or with these settings, or a package is not installed."""


class DeviceLostError(IEMBatchError):
    """A GPU or an engine stopped working under this process for good; another process can go on."""


class ShardsFailedError(IEMBatchError):
    """Some shards could not be done; everything else of the run is kept."""


class NoImagesError(IEMBatchError):
    """Not one image of a step could be used; why is in the quarantine."""


class WorkerKilledError(IEMBatchError):
    """A child process died, or was stopped because it did not answer."""


class WorkerMemoryError(IEMBatchError):
    """An image needs more memory than a worker may take; says which and how much."""


class VerificationError(IEMBatchError):
    """A run folder is not what its plan and its commit marks say."""


class ImageRejectedError(IEMBatchError):
    """One image cannot be used.

    Args:
        reason: short machine-readable word, e.g. ``truncated``; the column ``error_class``
            of the quarantine table.
        message: what was found, for a person.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
