"""Container images made entry by entry and pushed to a registry, for tests that need odd or hostile ones.

    layer = Layer().file("etc/motd", b"hello").symlink("motd", "etc/motd")
    digest = push("127.0.0.1:5000", "odd", "latest", [layer])
"""
import gzip
import hashlib
import io
import json
import tarfile
import urllib.error
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layer:
    """A tar archive; every method returns self. compress: None, "gzip"."""

    def __init__(self, compress="gzip"):
        self.compress = compress
        self.buffer = io.BytesIO()
        self.archive = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)
        self.raw = None

    def add(self, name, kind, data=b"", **fields):
        info = tarfile.TarInfo(name)
        info.type = kind
        info.size = len(data)
        info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
        for key, value in fields.items():
            setattr(info, key, value)
        self.archive.addfile(info, io.BytesIO(data))
        return self

    def file(self, name, data=b"x", **fields):
        return self.add(name, tarfile.REGTYPE, data, **fields)

    def dir(self, name, **fields):
        return self.add(name, tarfile.DIRTYPE, **fields)

    def symlink(self, name, target, **fields):
        return self.add(name, tarfile.SYMTYPE, linkname=target, **fields)

    def hardlink(self, name, target, **fields):
        return self.add(name, tarfile.LNKTYPE, linkname=target, **fields)

    def device(self, name, major, minor, **fields):
        return self.add(name, tarfile.CHRTYPE, devmajor=major, devminor=minor, **fields)

    def tar(self):
        if self.raw is None:
            self.archive.close()
            self.raw = self.buffer.getvalue()
        return self.raw

    def blob(self):
        return gzip.compress(self.tar(), mtime=0, compresslevel=6) if self.compress == "gzip" else self.tar()

    def media_type(self):
        return LAYER + ("+gzip" if self.compress == "gzip" else "")


class Raw(Layer):
    """A layer whose bytes are given."""

    def __init__(self, raw, blob=None, compress="gzip"):
        super().__init__(compress)
        self.raw = raw
        self.given = blob

    def blob(self):
        return self.given if self.given is not None else super().blob()


class Registry:
    def __init__(self, host):
        self.host = host

    def call(self, method, path, data=None, headers=None):
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        return urllib.request.urlopen(request, timeout=60)

    def push_blob(self, repository, data):
        digest = digest_of(data)
        try:
            self.call("HEAD", f"/v2/{repository}/blobs/{digest}")
            return digest
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        location = self.call("POST", f"/v2/{repository}/blobs/uploads/", b"").headers["Location"]
        sign = "&" if "?" in location else "?"
        self.call("PUT", f"{location}{sign}digest={digest}", data, {"Content-Type": "application/octet-stream"})
        return digest

    def push_manifest(self, repository, tag, document, media_type):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.call("PUT", f"/v2/{repository}/manifests/{tag}", data, {"Content-Type": media_type})
        return digest_of(data)


def config_of(layers, architecture="amd64", system="linux", **config):
    return {"architecture": architecture, "os": system, "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer.tar()) for layer in layers]}}


def push(host, repository, tag, layers, config=None, edit=None, **fields):
    """Pushes an image and returns its digest. fields go into the configuration (Entrypoint, Env, …); edit changes the
    manifest before it is pushed."""
    registry = Registry(host)
    config = json.dumps(config or config_of(layers, **fields)).encode()
    blobs = [layer.blob() for layer in layers]
    for blob in {digest_of(b): b for b in blobs + [config]}.values():
        registry.push_blob(repository, blob)
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": layer.media_type(), "digest": digest_of(blob), "size": len(blob)}
                   for layer, blob in zip(layers, blobs)],
    }
    if edit:
        edit(manifest)
    return registry.push_manifest(repository, tag, manifest, MANIFEST)
