"""A throw-away CA and a server certificate for localhost, made with the openssl command."""

from .processes import run


class Certificates:
    """Files in `folder`: ca.crt, server.crt, server.key (readable by whoever owns the folder); more with issue()."""

    def __init__(self, folder):
        self.ca = folder / "ca.crt"
        self.certificate = folder / "server.crt"
        self.key = folder / "server.key"
        self._folder, self._issued = folder, 0
        self._ca_key, request, extensions = folder / "ca.key", folder / "server.csr", folder / "server.ext"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run(["openssl", "req", "-x509", *curve, "-keyout", self._ca_key, "-out", self.ca, "-days", "2",
             "-subj", "/CN=pgsteady test CA"])
        run(["openssl", "req", *curve, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost"])
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._ca_key, "-CAcreateserial",
             "-out", self.certificate, "-days", "2", "-extfile", extensions])
        self.key.chmod(0o600)

    def issue(self, common_name):
        """A certificate of this CA for a client: (certificate, key)."""
        self._issued += 1
        certificate, key, request = (self._folder / f"client{self._issued}.{end}" for end in ("crt", "key", "csr"))
        run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
             "-out", request, "-subj", f"/CN={common_name}"])
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._ca_key, "-CAcreateserial",
             "-out", certificate, "-days", "2"])
        return certificate, key
