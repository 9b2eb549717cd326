"""A proxy for HTTPS on the loopback. It prints its port; each CONNECT is a line of the file that is its argument."""
import socket
import socketserver
import sys
import threading


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        target = self.rfile.readline().decode().split()[1]
        while self.rfile.readline().strip():
            pass
        with open(sys.argv[1], 'a') as log:
            log.write(f'{target}\n')
        host, port = target.rsplit(':', 1)
        with socket.create_connection((host, int(port))) as there:
            self.wfile.write(b'HTTP/1.1 200 Connection established\r\n\r\n')
            back = threading.Thread(target=pump, args=(there, self.connection), daemon=True)
            back.start()
            pump(self.connection, there)
            back.join()


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


server = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
