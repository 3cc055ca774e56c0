"""The first 64 points of the plain Sobol sequence in 21 dimensions, and 8 far ones, by scipy.stats.qmc (Joe and Kuo's direction numbers), as integers over 2^20:
python -B test/golden/make/sobol.py > test/golden/sampler/sobol.json
"""

import json

import scipy
from scipy.stats import qmc

FAR = 99_997
sobol = qmc.Sobol(21, scramble=False)
near = sobol.random(64)
sobol.fast_forward(FAR - 64)
far = sobol.random(8)


def integers(points):
    return [[int(x * 2**20) for x in point] for point in points]


print(json.dumps({"scipy": scipy.__version__, "first": integers(near), "farFrom": FAR, "far": integers(far)}, separators=(",", ":")))
