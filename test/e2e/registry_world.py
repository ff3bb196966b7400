"""Registries that want credentials, for tests: a real docker-registry with TLS and authentication of its own, and around it
what is Amazon's or a token server's in the world: a token server, the API of Amazon ECR, and a proxy that leads their names here.
"""

import base64
import datetime
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from cluster import free_port, until


def run(*command, **kw):
    return subprocess.run(command, check=True, capture_output=True, **kw).stdout


class Ca:
    """A certificate authority and one server certificate for all names."""

    def __init__(self, folder, *names):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.file, self.cert, self.key = (str(self.folder / n) for n in ("ca.crt", "server.crt", "server.key"))
        san = ",".join(("IP:" if re.fullmatch(r"[0-9.]+", n) else "DNS:") + n for n in names)
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test-ca", "-days", "2",
            "-keyout", self.folder / "ca.key", "-out", self.file)
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", self.key,
            "-out", self.folder / "server.csr")
        (self.folder / "ext").write_text(f"subjectAltName={san}\n")
        run("openssl", "x509", "-req", "-in", self.folder / "server.csr", "-CA", self.file, "-CAkey",
            self.folder / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", self.folder / "ext", "-out", self.cert)


def htpasswd(user, password):
    """A line with bcrypt at its lowest cost."""
    return f"{user}:" + run("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, f"$2b$04${os.urandom(11).hex()}").decode() + "\n"


class DockerRegistry:
    """docker-registry on a free port of the loopback. Several may share a data folder: one to push to, one that is guarded."""

    def __init__(self, folder, data, tls=None, auth=None):
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        config = {"version": 0.1, "log": {"level": "error"}, "http": {"addr": self.host},
                  "storage": {"filesystem": {"rootdirectory": str(data)}}}
        if tls:
            config["http"]["tls"] = {"certificate": tls.cert, "key": tls.key}
        if auth:
            config["auth"] = auth
        path = pathlib.Path(folder) / f"registry-{self.port}.yml"
        path.write_text(json.dumps(config))
        self.log = open(path.with_suffix(".log"), "ab")
        self.process = subprocess.Popen(["docker-registry", "serve", path], stdout=self.log, stderr=self.log)
        context = ssl._create_unverified_context()

        def answers():
            try:
                urllib.request.urlopen(f"http{'s' if tls else ''}://{self.host}/v2/", timeout=5, context=context)
            except urllib.error.HTTPError as e:
                return e.code == 401
            except OSError:
                return False
            return True

        until("the registry to answer", answers, 30, 0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class Server:
    """An HTTP server of one test, with TLS when given a Ca; answer(request) → (status, document)."""

    def __init__(self, answer, tls=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, document = answer(self)
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.cert, tls.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class TokenServer(Server):
    """Docker's token flow: signs what the registry's own configuration trusts. Source: distribution, docs/spec/auth/jwt.md."""

    def __init__(self, ca, users, name=None):
        """name: what it is called in its realm, over TLS; None: by its address, without TLS."""
        self.ca, self.users, self.name, self.life, self.served = ca, users, name, 300, 0
        super().__init__(self.answer, ca if name else None)

    def auth(self):
        realm = f"https://{self.name}/token" if self.name else f"{self.url}/token"
        return {"token": {"realm": realm, "service": "test", "issuer": "tester", "rootcertbundle": self.ca.file}}

    def answer(self, request):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        given = request.headers.get("Authorization")
        if given not in [basic(u, p) for u, p in self.users.items()]:
            return 401, {"errors": [{"code": "UNAUTHORIZED"}]}
        self.served += 1
        kind, name, actions = query["scope"][0].split(":")
        return 200, {"token": self.sign({"type": kind, "name": name, "actions": actions.split(",")}), "expires_in": self.life}

    def sign(self, access):
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")

        now = int(time.time())
        der = run("openssl", "x509", "-in", self.ca.cert, "-outform", "DER")
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {"iss": "tester", "sub": "x", "aud": "test", "nbf": now - 60, "iat": now, "exp": now + self.life, "jti": "1",
                  "access": [access]}
        text = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims).encode())
        return (text + b"." + part(run("openssl", "dgst", "-sha256", "-sign", self.ca.key, input=text))).decode()


class FakeEcr(Server):
    """GetAuthorizationToken of Amazon ECR. Checks the signature of each request (AWS General Reference, "Signature Version 4
    signing process"). The password it hands out is the one in the registry's htpasswd; revoke() changes both."""

    def __init__(self, htpasswd_file, region):
        self.file, self.region, self.life = pathlib.Path(htpasswd_file), region, 12 * 3600
        self.keys = {"AKIDEXAMPLE": ("aws-secret-value", None), "ASIDEXAMPLE": ("other-secret", "session/token+value==")}
        self.denied, self.passwords, self.calls = set(), [], 0
        self.revoke()
        super().__init__(self.answer)

    def revoke(self):
        """The registry notices a new file by its time."""
        self.passwords.append("ecr-password-" + os.urandom(8).hex())
        self.file.write_text(htpasswd("AWS", self.passwords[-1]))
        stamp = time.time_ns() + len(self.passwords) * 1_000_000_000
        os.utime(self.file, ns=(stamp, stamp))

    def answer(self, request):
        fault = self.check(request)
        if fault:
            return 400, {"__type": fault, "message": f"The Canonical String should have been {request.headers}"}
        self.calls += 1
        token = base64.b64encode(f"AWS:{self.passwords[-1]}".encode()).decode()
        return 200, {"authorizationData": [{"authorizationToken": token, "expiresAt": round(time.time() + self.life, 3),
                                            "proxyEndpoint": "https://example"}]}

    def check(self, request):
        """The type of AWS's refusal, or None."""
        headers = {k.lower(): " ".join(v.split()) for k, v in request.headers.items()}
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/ecr/aws4_request, ?"
                         r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", headers.get("authorization", ""))
        if not m:
            return "IncompleteSignatureException"
        key, date, region, signed, signature = m.groups()
        if key not in self.keys:
            return "UnrecognizedClientException"
        secret, session = self.keys[key]
        if session != headers.get("x-amz-security-token"):
            return "ExpiredTokenException"
        names = signed.split(";")
        must = {"host"} | {n for n in headers if n.startswith("x-amz-")}
        age = abs((datetime.datetime.utcnow() - datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")).total_seconds())
        if names != sorted(names) or not must <= set(names) or region != self.region or age > 300:
            return "InvalidSignatureException"
        canonical = "\n".join(["POST", request.path, "", *(f"{n}:{headers.get(n, '')}" for n in names), "", signed,
                               hashlib.sha256(request.body).hexdigest()])
        scope = f"{date}/{region}/ecr/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        k = f"AWS4{secret}".encode()
        for word in [*scope.split("/"), text]:
            k = hmac.new(k, word.encode(), hashlib.sha256).digest()
        if k.hex() != signature:
            return "InvalidSignatureException"
        if headers["x-amz-target"] != "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken":
            return "com.amazonaws.ecr#UnknownOperationException"
        return "com.amazonaws.ecr#AccessDeniedException" if key in self.denied else None


class Proxy:
    """An HTTPS proxy (CONNECT) that knows a few names and leads each to a port of the loopback."""

    def __init__(self, ports):
        self.ports, self.refused = ports, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            name = head.split()[1].decode()
            if name not in self.ports:
                self.refused.append(name)
                client.sendall(b"HTTP/1.1 502 unknown\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self.ports[name])) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                other = threading.Thread(target=self.copy, args=(server, client), daemon=True)
                other.start()
                self.copy(client, server)
                other.join()

    @staticmethod
    def copy(source, target):
        try:
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self):
        self.listener.close()


# ---- Secrets ----

def secret(name, kind, values, namespace="default"):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "type": kind,
            "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()}}


def docker_secret(name, host, user, password, namespace="default"):
    entry = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    return secret(name, "kubernetes.io/dockerconfigjson", {".dockerconfigjson": json.dumps({"auths": {host: entry}})}, namespace)


def aws_secret(name, key, value, session=None):
    values = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": value}
    return secret(name, "berth.dev/aws", {**values, **({"AWS_SESSION_TOKEN": session} if session else {})})
