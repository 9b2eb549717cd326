"""An HTTPS server for one folder on the loopback, honest or not.

    https_server.py FOLDER CERTIFICATE KEY

It prints its port. What it does with a request is in FOLDER/mode: `honest` (with ETag and 304), `slow`, `long` (says
that it sends more than it does), `cut` (ends in the middle), `endless` (never stops sending), `down` (503),
`gone` (404), `away` (closes the connection). Each request is a line of FOLDER/requests.
"""
import hashlib
import http.server
import pathlib
import ssl
import sys
import time
import urllib.parse

FOLDER, CERTIFICATE, KEY = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        folder = pathlib.Path(FOLDER)
        mode = (folder / 'mode').read_text().strip()
        name = urllib.parse.unquote(self.path.split('?')[0]).lstrip('/')
        path = folder / name
        tag = self.headers.get('If-None-Match')
        with open(folder / 'requests', 'a') as log:
            log.write(f'/{name} {tag or "-"}\n')
        if mode == 'away':
            self.close_connection = True
            self.connection.close()
            return
        if mode in ('down', 'gone') or not path.is_file():
            self.answer({'down': 503}.get(mode, 404), b'no\n')
            return
        body = path.read_bytes()
        etag = '"' + hashlib.sha256(body).hexdigest()[:16] + '"'
        if tag == etag:
            self.send_response(304)
            self.send_header('ETag', etag)
            self.end_headers()
        elif mode == 'slow':
            self.head(len(body), etag)
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.2)
        elif mode == 'long':
            self.head(len(body) + 1000, etag)
            self.wfile.write(body)
            self.close_connection = True
        elif mode == 'cut':
            self.head(len(body), etag)
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
        elif mode == 'endless':
            self.send_response(200)
            self.send_header('Connection', 'close')
            self.end_headers()
            while True:
                self.wfile.write(b'x' * 65536)
        else:
            self.answer(200, body, etag)

    def head(self, length, etag):
        self.send_response(200)
        self.send_header('ETag', etag)
        self.send_header('Last-Modified', self.date_time_string())
        self.send_header('Content-Length', str(length))
        self.end_headers()

    def answer(self, status, body, etag=None):
        self.send_response(status)
        if etag:
            self.send_header('ETag', etag)
            self.send_header('Last-Modified', self.date_time_string())
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        try:
            super().handle()
        except (OSError, ValueError):
            pass

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
