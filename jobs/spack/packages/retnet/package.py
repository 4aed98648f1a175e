"""Recipe of Spack: `spack repo add jobs/spack && spack install retnet`, or, to build the working tree,
`spack dev-build retnet@main` in it.

Lines to change: `git` and `homepage`, if you do not build a working tree; the versions of MPI and BLAS
are chosen by your Spack configuration (packages.yaml), for example `retnet ^openmpi@4.1 ^openblas`.
"""

from spack.package import *

try:  # Spack 1.0 and later; before, these are part of spack.package
    from spack_repo.builtin.build_systems.cmake import CMakePackage, generator
except ImportError:
    pass


class Retnet(CMakePackage):
    """Trains retentive networks (RetNet) on CPU clusters with MPI."""

    homepage = "https://arxiv.org/abs/2307.08621"
    git = "file:///path/to/retnet"  # change: the repository to clone

    version("main", branch="main")

    variant("onednn", default=True, description="Matrix products with oneDNN (AVX-512, bf16)")
    variant("sentencepiece", default=True, description="Tokenizers of sentencepiece (spm:)")

    depends_on("c", type="build")
    depends_on("cxx", type="build", when="+sentencepiece")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("protobuf", type="build")  # protoc and descriptor.proto
    depends_on("random123", type="build")  # headers only

    depends_on("mpi@3.1:")
    depends_on("openblas threads=openmp")
    depends_on("zstd")
    depends_on("zlib-api")
    depends_on("protobuf-c")
    depends_on("libyaml")
    depends_on("jansson")
    depends_on("pcre2")
    depends_on("xxhash")
    depends_on("onednn@2.6:3", when="+onednn")
    depends_on("sentencepiece", when="+sentencepiece")

    generator("ninja")

    def cmake_args(self):
        return [
            self.define("RN_TESTS", self.run_tests),
            self.define("CMAKE_DISABLE_FIND_PACKAGE_dnnl", "~onednn" in self.spec),
            self.define_from_variant("RN_SENTENCEPIECE", "sentencepiece"),
        ]

    def check(self):
        with working_dir(self.build_directory):
            ctest = which("ctest", required=True)
            ctest("-L", "unit|lint", "--output-on-failure")
