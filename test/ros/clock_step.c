/* Loaded with LD_PRELOAD: shifts a process's wall clock by the nanoseconds in the file $CLOCK_STEP_FILE (int64), at any time.
   Waits until a moment of the wall clock are shifted back, as the kernel's own clock stays where it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *step;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("CLOCK_STEP_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) step = mapped;
    close(file);
}

static struct timespec shifted(struct timespec t, int sign) {
    if (step == NULL) return t;
    int64_t sum = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + sign * *step;
    return (struct timespec){.tv_sec = sum / 1000000000, .tv_nsec = sum % 1000000000};
}

int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, t);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) *t = shifted(*t, 1);
    return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    (void)zone;
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t != NULL) *t = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (real == NULL) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (real == NULL) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    /* A steady clock's moments are small: the machine has not been up for thirty years. */
    struct timespec moment = until->tv_sec > 1000000000 ? shifted(*until, -1) : *until;
    return real(c, m, &moment);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict m, const struct timespec *restrict until) {
    static int (*real)(pthread_mutex_t *, const struct timespec *);
    if (real == NULL) real = dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
    struct timespec moment = shifted(*until, -1);
    return real(m, &moment);
}
