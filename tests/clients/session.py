"""Python's own TLS client: each version, resumption, a client certificate. Prints a line for each, or fails.

    session.py PORT CA CERT KEY
"""

import socket
import ssl
import sys

port, ca, cert, key = int(sys.argv[1]), *sys.argv[2:5]


def get(context, session=None):
    """One request: (version, whether the session was resumed, the session, the body)."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
            secure.sendall(b"GET /environ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            # An end that the server does not announce raises an error here.
            while data := secure.recv(65536):
                answer += data
            assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
            assert secure.selected_alpn_protocol() == "http/1.1"
            return secure.version(), secure.session_reused, secure.session, answer.decode()


for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = context.maximum_version = version
    context.suppress_ragged_eofs = False
    context.set_alpn_protocols(["h2", "http/1.1"])
    name, resumed, session, body = get(context)
    assert not resumed and '"SSL_CLIENT_VERIFY": "NONE"' in body, body
    again, resumed, _, _ = get(context, session)
    assert name == again and resumed, (name, again, resumed)
    context.load_cert_chain(cert, key)
    body = get(context)[3]
    assert '"SSL_CLIENT_VERIFY": "SUCCESS"' in body and "CN=client" in body, body
    print(name, "new, resumed, and with a certificate")
