"""Serves the repositories below /srv/git for reading, over git's smart HTTP protocol.

`git http-backend` does the work; this program only speaks HTTP for it. Pushes are refused: only upload-pack is passed on.
"""

import http.server
import os
import subprocess
import urllib.parse

ROOT = "/srv/git"
CHUNK = 65536


class Handler(http.server.BaseHTTPRequestHandler):
    """Passes one request on to `git http-backend` as CGI."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """The list of references."""
        self.run_backend(b"")

    def do_POST(self):
        """The request for a pack."""
        self.run_backend(self.read_body())

    def read_body(self):
        """The whole body: git sends a large one in chunks, without a length."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def run_backend(self, body):
        """Runs the backend and copies its answer."""
        address = urllib.parse.urlsplit(self.path)
        if "git-receive-pack" in self.path:
            self.send_error(403, "this server is for reading")
            return
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/tmp",
            "GIT_PROJECT_ROOT": ROOT,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": urllib.parse.unquote(address.path),
            "QUERY_STRING": address.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        backend = subprocess.run(["git", "http-backend"], input=body, stdout=subprocess.PIPE, env=environment, check=False)
        head, _, answer = backend.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line]
        status = next((value for name, value in lines if name.lower() == "status"), "200 OK" if lines else "500 Error")
        self.send_response(int(status.split()[0]))
        for name, value in lines:
            if name.lower() != "status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        for begin in range(0, len(answer), CHUNK):
            self.wfile.write(answer[begin : begin + CHUNK])


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
