"""Exit code 0 if the worker on this machine takes jobs, over plain HTTP or TLS, else 1.

Its certificate is not checked: no secret is sent, and nothing is asked beyond this machine.
"""

import http.client
import ssl
import sys

TIMEOUT_S = 2.0


def takes_jobs(port: int) -> bool:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    plain = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    secure = http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_S, context=trusting)
    for connection in (plain, secure):
        try:
            connection.request("GET", "/v1/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            continue  # it speaks the other one
        finally:
            connection.close()
    return False


if __name__ == "__main__":
    sys.exit(0 if takes_jobs(int(sys.argv[1]) if len(sys.argv) > 1 else 8801) else 1)
