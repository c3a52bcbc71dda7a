// Preloaded by clock_e2e.py: a wall clock that steps when the test says so. Its offset in ns lies in
// the mapped file $RACKMARK_TEST_CLOCK; 0, or no such file, is the machine's own time. Only
// CLOCK_REALTIME moves, as when somebody sets the time: monotonic clocks do not.
//
// Waits until an absolute wall-clock time are turned back into the machine's time, or the kernel,
// which knows of no step, would end them hours late or early.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t kSecond = 1000000000;
static const volatile int64_t* offset_at;

__attribute__((constructor)) static void Map(void) {
  const char* path = getenv("RACKMARK_TEST_CLOCK");
  const int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) offset_at = page;
}

static int64_t Offset(void) { return offset_at == NULL ? 0 : *offset_at; }

static struct timespec Moved(const struct timespec* time, int64_t by) {
  int64_t ns = (int64_t)time->tv_sec * kSecond + time->tv_nsec + by;
  struct timespec moved = {ns / kSecond, ns % kSecond};
  if (moved.tv_nsec < 0) {
    moved.tv_nsec += kSecond;
    --moved.tv_sec;
  }
  return moved;
}

// Of the C library, below us. Found at first use: constructors of others may come before ours.
#define NEXT(type, name)                                                 \
  static type next;                                                      \
  if (next == NULL) *(void**)(&next) = dlsym(RTLD_NEXT, name)

int clock_gettime(clockid_t clock, struct timespec* out) {
  const int result = (int)syscall(SYS_clock_gettime, clock, out);
  const int wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
  if (result == 0 && wall) *out = Moved(out, Offset());
  return result;
}

int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

// Condition variables of ours and of the C++ library wait by a named clock; those that name none
// were made for the wall clock.
typedef int (*CondTimedWait)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*);
int pthread_cond_timedwait(pthread_cond_t* restrict cond, pthread_mutex_t* restrict mutex,
                           const struct timespec* restrict until) {
  NEXT(CondTimedWait, "pthread_cond_timedwait");
  // A condition variable with a monotonic clock (pthread_condattr_setclock) has this bit set.
  const int monotonic = (cond->__data.__wrefs & 2) != 0;
  const struct timespec moved = Moved(until, monotonic ? 0 : -Offset());
  return next(cond, mutex, &moved);
}

typedef int (*CondClockWait)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const struct timespec*);
int pthread_cond_clockwait(pthread_cond_t* restrict cond, pthread_mutex_t* restrict mutex,
                           clockid_t clock, const struct timespec* restrict until) {
  NEXT(CondClockWait, "pthread_cond_clockwait");
  const struct timespec moved = Moved(until, clock == CLOCK_REALTIME ? -Offset() : 0);
  return next(cond, mutex, clock, &moved);
}

typedef int (*SemTimedWait)(sem_t*, const struct timespec*);
int sem_timedwait(sem_t* restrict semaphore, const struct timespec* restrict until) {
  NEXT(SemTimedWait, "sem_timedwait");
  const struct timespec moved = Moved(until, -Offset());
  return next(semaphore, &moved);
}

// Abseil's mutexes call the kernel themselves.
typedef long (*SystemCall)(long, ...);
long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (int i = 0; i < 6; ++i) a[i] = va_arg(list, long);
  va_end(list);
  NEXT(SystemCall, "syscall");
  struct timespec moved;
  if (number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME) != 0 && a[3] != 0) {
    moved = Moved((const struct timespec*)a[3], -Offset());
    a[3] = (long)&moved;
  }
  return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
