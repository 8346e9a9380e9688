"""Which errors of AWS pass by themselves, and how to wait for that."""

import logging
import re
import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)

T = TypeVar("T")

THROTTLED = {
    "TooManyRequestsException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
}
#: What no waiting heals: boto3 renews a role's credentials by itself.
DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
}
#: Batch's words for a queue that takes no jobs; a ClientException like any wrong argument.
DISABLED = re.compile(r"not in (the )?ENABLED state")


def patiently(
    call: Callable[[], T], patience: float, sleep: Callable[[float], None] = time.sleep
) -> T:
    """Make a call that may be repeated; wait up to `patience` seconds for an API in trouble."""
    deadline, wait = time.monotonic() + patience, 1.0
    while True:
        try:
            return call()
        except (ClientError, BotoCoreError) as error:
            if not is_transient(error) or time.monotonic() + wait > deadline:
                raise
            log.warning("%s; trying again in %.0f s", error, wait)
        sleep(wait)
        wait = min(wait * 2, 30.0)


def is_denied(error: Exception) -> bool:
    """Tell whether nothing will work any more: no valid credentials, or a queue that is closed."""
    if isinstance(error, ClientError):
        problem = error.response["Error"]
        return problem["Code"] in DENIED or bool(DISABLED.search(problem.get("Message", "")))
    return type(error).__name__ in {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "RefreshWithMFAUnsupportedError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }


def is_throttle(error: Exception) -> bool:
    """Tell whether the API refused for now, having done nothing."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in THROTTLED


def is_transient(error: Exception) -> bool:
    """Tell whether the same request may succeed later: throttling, a 5xx, no connection."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return is_throttle(error) or status >= 500
    # Of botocore's own errors a wrong parameter and a missing credential never heal.
    return not is_denied(error) and type(error).__name__ not in {
        "ParamValidationError",
        "NoRegionError",
    }
