/* What greedy.py, probabilistic.py and staircase.py do through torch and NumPy, in one pass over a layer's connections.

   It rounds where they round (FUSED is torch's a + x·y), but for the exponential. REAL is float or double. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define FUSED(x, y, a) _Generic((x), float: __builtin_fmaf, double: __builtin_fma)((x), (y), (a))
#else
#define FUSED(x, y, a) ((a) + (x) * (y))
#endif

enum { BLOCK = 512, SCAN = 64 }; /* SCAN: short enough that most blocks have no connection to move */

/* One step of SGD on b, and the climb that follows; `unit_` and `a_` are greedy.units. */
#define GREEDY_STEP(NAME, REAL)                                                                                  \
  void NAME(int64_t n, REAL *restrict weight, const REAL *restrict gradient, REAL *restrict b,                   \
            REAL *restrict momentum, int32_t *restrict entry, REAL *restrict low, REAL *restrict high,           \
            const REAL *restrict levels, const REAL *restrict breakpoints, double lr_, double mu_,               \
            double decay_, int nesterov, double unit_, double a_) {                                              \
    const REAL lr = (REAL)-lr_, mu = (REAL)mu_, decay = (REAL)decay_, unit = (REAL)unit_, a = (REAL)a_;          \
    for (int64_t start = 0; start < n; start += SCAN ) {                                                         \
      const int64_t stop = start + SCAN < n ? start + SCAN : n;                                                  \
      int left = 0;                                                                                              \
      for (int64_t i = start; i < stop; i++) {                                                                   \
        REAL change = decay != 0 ? FUSED(b[i], decay, gradient[i]) : gradient[i];                                \
        if (mu != 0) {                                                                                           \
          const REAL velocity = momentum[i] * mu + change;                                                       \
          momentum[i] = velocity;                                                                                \
          change = nesterov ? FUSED(velocity, mu, change) : velocity;                                            \
        }                                                                                                        \
        const REAL moved = FUSED(change, lr, b[i]);                                                              \
        b[i] = moved;                                                                                            \
        const REAL there = moved * unit;                                                                         \
        left |= (there <= low[i] * a) | (there > high[i] * a);                                                   \
      }                                                                                                          \
      if (!left) continue;                                                                                       \
      for (int64_t i = start; i < stop; i++) {                                                                   \
        const REAL there = b[i] * unit;                                                                          \
        int32_t here = entry[i];                                                                                 \
        if (there > high[i] * a) {                                                                               \
          do here++;                                                                                             \
          while (there > breakpoints[here + 1] * a);                                                             \
        } else if (there <= low[i] * a) {                                                                        \
          do here--;                                                                                             \
          while (there <= breakpoints[here] * a);                                                                \
        } else                                                                                                   \
          continue;                                                                                              \
        entry[i] = here;                                                                                         \
        low[i] = breakpoints[here];                                                                              \
        high[i] = breakpoints[here + 1];                                                                         \
        weight[i] = levels[here];                                                                                \
      }                                                                                                          \
    }                                                                                                            \
  }

GREEDY_STEP(greedy_step_float32, float)
GREEDY_STEP(greedy_step_float64, double)

/* e to the x for x ≤ 0, within 2 units in the last place, in operations that compilers turn into vector code:
   x = n·ln 2 + r, e^r by its series, 2^n by the exponent's bits; far below 0 it stays near the smallest number.
   ln 2 is in two parts, of which n times the first is exact. probabilistic.exp_ and kernel_gpu do the same. */
static inline float exp_float32(float x) {
  x = x < -87 ? -87 : x;
  const float n = __builtin_rintf(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float series = 1.0f / 5040;
  series = series * r + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r + 1;
  series = series * r + 1;
  const int32_t bits = ((int32_t)n + 127) * (1 << 23);
  float power;
  memcpy(&power, &bits, sizeof power);
  return series * power;
}

static inline double exp_float64(double x) {
  x = x < -707 ? -707 : x;
  const double n = __builtin_rint(x * 1.4426950408889634);
  const double r = (x - n * 0.6931471806019545) + n * 4.2009150726810846e-11;
  double series = 1.0 / 6227020800;
  series = series * r + 1.0 / 479001600;
  series = series * r + 1.0 / 39916800;
  series = series * r + 1.0 / 3628800;
  series = series * r + 1.0 / 362880;
  series = series * r + 1.0 / 40320;
  series = series * r + 1.0 / 5040;
  series = series * r + 1.0 / 720;
  series = series * r + 1.0 / 120;
  series = series * r + 1.0 / 24;
  series = series * r + 1.0 / 6;
  series = series * r + 0.5;
  series = series * r + 1;
  series = series * r + 1;
  const int64_t bits = ((int64_t)n + 1023) * ((int64_t)1 << 52);
  double power;
  memcpy(&power, &bits, sizeof power);
  return series * power;
}

/* The number that `probabilistic.uniform` gives for place i: splitmix64 (Steele, Lea & Flood 2014), 24 bits of it. */
static inline float uniform(uint64_t seed, int64_t i) {
  uint64_t z = seed + (uint64_t)i * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (float)((z ^ (z >> 31)) >> 40) * 0x1p-24f;
}

/* Draws each connection's option from the softmax of its K scores a·s⁰ + b·w; `cumulative` has room for K·BLOCK. */
#define DRAW(NAME, REAL, EXP)                                                                                    \
  void NAME(int64_t n, int64_t k, REAL *restrict weight, const REAL *restrict b, const REAL *restrict options,   \
            const REAL *restrict scores, REAL *restrict cumulative, double a_, uint64_t seed) {                  \
    const REAL a = (REAL)a_;                                                                                     \
    for (int64_t start = 0; start < n; start += BLOCK) {                                                         \
      const int m = n - start < BLOCK ? (int)(n - start) : BLOCK;                                                \
      REAL top[BLOCK], sum[BLOCK];                                                                               \
      for (int i = 0; i < m; i++) top[i] = -INFINITY, sum[i] = 0;                                                \
      for (int64_t j = 0; j < k; j++) {                                                                          \
        REAL *const row = cumulative + j * BLOCK;                                                                \
        for (int i = 0; i < m; i++) {                                                                            \
          const int64_t at = j * n + start + i;                                                                  \
          row[i] = FUSED(scores[at], a, options[at] * b[start + i]);                                             \
          top[i] = row[i] > top[i] ? row[i] : top[i];                                                            \
        }                                                                                                        \
      }                                                                                                          \
      for (int64_t j = 0; j < k; j++) {                                                                          \
        REAL *const row = cumulative + j * BLOCK;                                                                \
        for (int i = 0; i < m; i++) row[i] = sum[i] += EXP(row[i] - top[i]);                                     \
      }                                                                                                          \
      for (int i = 0; i < m; i++) sum[i] *= uniform(seed, start + i);                                            \
      for (int i = 0; i < m; i++) weight[start + i] = options[start + i];                                        \
      for (int64_t j = 1; j < k; j++) {                                                                          \
        const REAL *const row = cumulative + (j - 1) * BLOCK;                                                    \
        for (int i = 0; i < m; i++)                                                                              \
          weight[start + i] = row[i] <= sum[i] ? options[j * n + start + i] : weight[start + i];                 \
      }                                                                                                          \
    }                                                                                                            \
  }

DRAW(draw_float32, float, exp_float32)
DRAW(draw_float64, double, exp_float64)

enum { LANES = 8 };

/* The first and the last of k values that are equal to one of them; without a branch, so that it is vector code. */
static inline void equal_to(double value, const double *values, int64_t k, int64_t *first, int64_t *last) {
  int64_t lowest = k, highest = -1;
  for (int64_t j = 0; j < k; j++) {
    const int64_t from_below = values[j] == value ? j : k, from_above = values[j] == value ? j : -1;
    lowest = from_below < lowest ? from_below : lowest;
    highest = from_above > highest ? from_above : highest;
  }
  *first = lowest, *last = highest;
}

/* The staircases of n connections of k options, one after the other, as staircase.climb walks them; returns the
   number of their levels. Scores are times `sign`; `scratch` has room for 3·(k + LANES) numbers. */
#define ENVELOPES(NAME, REAL, NEXT_AFTER, TINY)                                                                  \
  int64_t NAME(int64_t n, int64_t k, const float *restrict options, const float *restrict scores, double sign,   \
               REAL *restrict levels, REAL *restrict breakpoints, int64_t *restrict counts,                      \
               double *restrict scratch) {                                                                       \
    const int64_t padded = (k + LANES - 1) / LANES * LANES;                                                      \
    double *const w = scratch, *const s = w + padded, *const corners = s + padded;                               \
    int64_t total = 0;                                                                                           \
    for (int64_t i = 0; i < n; i++) {                                                                            \
      const int64_t first = total;                                                                               \
      int64_t current, other;                                                                                  \
      double flattest = INFINITY;                                                                              \
      for (int64_t j = 0; j < k; j++) w[j] = options[i * k + j], s[j] = sign * scores[i * k + j];                \
      for (int64_t j = 0; j < k; j++) flattest = w[j] < flattest ? w[j] : flattest;                            \
      equal_to(flattest, w, k, &current, &other);                                                              \
      for (int64_t j = current + 1; j <= other; j++)                                                           \
        if (w[j] == flattest && s[j] > s[current]) current = j;                                                \
      for (int64_t j = k; j < padded; j++) w[j] = -INFINITY, s[j] = 0; /* never steeper than another */          \
      levels[total] = (REAL)w[current], breakpoints[total++] = (REAL)NAN;                                        \
      for (REAL reached = -INFINITY;;) {                                                                         \
        const double slope = w[current], score = s[current];                                                     \
        double least[LANES], corner = INFINITY;                                                                  \
        for (int lane = 0; lane < LANES; lane++) least[lane] = INFINITY;                                         \
        for (int64_t j = 0; j < padded; j++) {                                                                   \
          const double rise = w[j] - slope, met = (score - s[j]) / rise;                                         \
          corners[j] = rise > 0 ? met : INFINITY;                                                                \
        }                                                                                                        \
        for (int64_t j = 0; j < padded; j += LANES)                                                              \
          for (int lane = 0; lane < LANES; lane++)                                                               \
            least[lane] = corners[j + lane] < least[lane] ? corners[j + lane] : least[lane];                     \
        for (int lane = 0; lane < LANES; lane++) corner = least[lane] < corner ? least[lane] : corner;           \
        if (!isfinite(corner)) break;                                                                            \
        int64_t lowest, highest;                                                                                 \
        equal_to(corner, corners, k, &lowest, &highest);                                                         \
        int64_t following = lowest;                                                                              \
        for (int64_t j = lowest + 1; j <= highest; j++) /* lines that meet in one point: hardly ever */          \
          if (corners[j] == corner && w[j] > w[following]) following = j;                                        \
        if (lowest < current) following = lowest;                                                                \
        REAL breakpoint = (REAL)corner;                                                                          \
        if (following < current) breakpoint = breakpoint == 0 ? -TINY : NEXT_AFTER(breakpoint, (REAL)-INFINITY); \
        reached = breakpoint > reached ? breakpoint : reached;                                                   \
        current = following;                                                                                     \
        levels[total] = (REAL)w[current], breakpoints[total++] = reached;                                        \
      }                                                                                                          \
      counts[i] = total - first;                                                                                 \
    }                                                                                                            \
    return total;                                                                                                \
  }

ENVELOPES(envelopes_float32, float, nextafterf, FLT_MIN)
ENVELOPES(envelopes_float64, double, nextafter, DBL_MIN)
