"""echo_server.py PORT CERT KEY: a TLS server that sends back what it gets."""

import socketserver
import ssl
import sys

PORT, CERT, KEY = sys.argv[1:]


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            with CONTEXT.wrap_socket(self.request, server_side=True) as tls:
                while data := tls.recv(1 << 14):
                    tls.sendall(data)
        except (ssl.SSLError, OSError):
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.set_ciphers("ALL:@SECLEVEL=0")
CONTEXT.minimum_version = ssl.TLSVersion.TLSv1
CONTEXT.load_cert_chain(CERT, KEY)
Server(("localhost", int(PORT)), Echo).serve_forever()
