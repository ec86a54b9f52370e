/* A webcam for programs that preload this library: the device named by WEBCAM, which gives pictures
 * of 1280 x 720 or 640 x 480 in YUYV, as the kernel's driver of USB cameras does.
 *
 * WEBCAM_FPS: pictures a second. WEBCAM_BUFFERS: the fewest that the driver takes. WEBCAM_PICTURE: a
 * file of 1280 * 720 * 2 bytes, else grey. WEBCAM_FAULT: "busy" (another program set its format),
 * "streaming" (another program has its stream), "silent" (no picture comes).
 *
 * In each picture the first 32 squares of the top row are the bits of the time at which the buffer
 * was filled, in milliseconds of the monotonic clock; lit squares are 1.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX = 32, OFFSET = 1 << 24, LARGE = 1280 * 720 * 2 };

static int descriptors[MAX], opened, streaming, width = 640, height = 480;
static void *memory[MAX];
static unsigned queued[MAX], filled[MAX], queue_in, queue_out, fill_in, fill_out;
static double filled_at[MAX], started;
static uint64_t passed;

static int number(const char *name, int otherwise)
{
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

static int fault(const char *name)
{
    const char *value = getenv("WEBCAM_FAULT");
    return value && !strcmp(value, name);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static int is_ours(int descriptor)
{
    for (int i = 0; i < opened; i++)
        if (descriptors[i] == descriptor)
            return 1;
    return 0;
}

static void fill(unsigned buffer, double at)
{
    uint8_t *pixels = memory[buffer];
    const char *picture = getenv("WEBCAM_PICTURE");
    size_t size = (size_t)width * height * 2;
    uint32_t milliseconds = (uint32_t)(uint64_t)(at * 1000);
    memset(pixels, 128, size);
    if (picture && size == LARGE) {
        int file = open(picture, O_RDONLY);
        if (file >= 0 && read(file, pixels, size) < 0)
            memset(pixels, 0, size);
        close(file);
    }
    for (int bit = 0; bit < 32; bit++)
        for (int y = 0; y < 16; y++)
            for (int x = bit * 16; x < bit * 16 + 16; x++)
                pixels[(y * width + x) * 2] = milliseconds >> bit & 1 ? 235 : 16;
    filled_at[buffer] = at;
    filled[fill_in++ % MAX] = buffer;
}

/* A frame for which no buffer is queued is lost, as with a driver. */
static void catch_up(void)
{
    int fps = number("WEBCAM_FPS", 30);
    uint64_t due = streaming ? (uint64_t)((now() - started) * fps) : passed;
    for (; passed < due; passed++)
        if (queue_out != queue_in)
            fill(queued[queue_out++ % MAX], started + (passed + 1.0) / fps);
}

static int set_timer(int descriptor, int fps)
{
    long pause = fps ? 1000000000L / fps : 0;
    struct itimerspec times = {{0, pause}, {0, pause}};
    return timerfd_settime(descriptor, 0, &times, 0);
}

static int failed(int error)
{
    errno = error;
    return -1;
}

static int set_format(struct v4l2_format *format, int set)
{
    if (set && fault("busy"))
        return failed(EBUSY);
    if (set) {
        width = format->fmt.pix.width >= 1280 ? 1280 : 640;
        height = width == 1280 ? 720 : 480;
    }
    format->fmt.pix.width = width;
    format->fmt.pix.height = height;
    format->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
    format->fmt.pix.field = V4L2_FIELD_NONE;
    format->fmt.pix.bytesperline = width * 2;
    format->fmt.pix.sizeimage = width * height * 2;
    return 0;
}

static int request(struct v4l2_requestbuffers *asked)
{
    unsigned fewest = number("WEBCAM_BUFFERS", 2);
    if (asked->count && asked->count < fewest)
        asked->count = fewest;
    queue_in = queue_out = fill_in = fill_out = 0;
    return 0;
}

static int take(int descriptor, struct v4l2_buffer *buffer)
{
    uint64_t ticks;
    catch_up();
    if (read(descriptor, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
        return -1;
    if (fill_out == fill_in)
        return failed(EAGAIN);
    buffer->index = filled[fill_out++ % MAX];
    buffer->bytesused = buffer->length = width * height * 2;
    buffer->timestamp.tv_sec = (long)filled_at[buffer->index];
    return 0;
}

static int stream(int descriptor, int on)
{
    if (on && fault("streaming"))
        return failed(EBUSY);
    streaming = on && !fault("silent");
    started = now();
    passed = 0;
    return set_timer(descriptor, streaming ? number("WEBCAM_FPS", 30) : 0);
}

static int answer(int descriptor, unsigned long asked, void *value)
{
    switch (asked) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *found = value;
        memset(found, 0, sizeof *found);
        found->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        found->capabilities = found->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = value;
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return input->index ? failed(EINVAL) : 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)value = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return 0;
    case VIDIOC_G_FMT:
    case VIDIOC_TRY_FMT:
        return set_format(value, 0);
    case VIDIOC_S_FMT:
        return set_format(value, 1);
    case VIDIOC_REQBUFS:
        return request(value);
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = value;
        buffer->length = width * height * 2;
        buffer->m.offset = buffer->index * OFFSET;
        return 0;
    }
    case VIDIOC_QBUF:
        catch_up();
        queued[queue_in++ % MAX] = ((struct v4l2_buffer *)value)->index;
        return 0;
    case VIDIOC_DQBUF:
        return take(descriptor, value);
    case VIDIOC_STREAMON:
        return stream(descriptor, 1);
    case VIDIOC_STREAMOFF:
        return stream(descriptor, 0);
    default:
        return failed(ENOTTY);
    }
}

static int opening(const char *name, const char *path, int flags, int mode)
{
    const char *webcam = getenv("WEBCAM");
    if (webcam && !strcmp(path, webcam)) {
        int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        descriptors[opened++ % MAX] = descriptor;
        return descriptor;
    }
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    return real(path, flags, mode);
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        int mode = va_arg(more, int);                                                              \
        va_end(more);                                                                              \
        return opening(#name, path, flags, mode);                                                  \
    }
OPEN(open)
OPEN(open64)

int close(int descriptor)
{
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    for (int i = 0; i < opened; i++)
        if (descriptors[i] == descriptor)
            descriptors[i] = descriptors[--opened];
    return real(descriptor);
}

#define MMAP(name)                                                                                 \
    void *name(void *at, size_t size, int protect, int flags, int descriptor, off_t offset)        \
    {                                                                                              \
        void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, #name);             \
        if (descriptor < 0 || !is_ours(descriptor))                                                \
            return real(at, size, protect, flags, descriptor, offset);                             \
        protect = PROT_READ | PROT_WRITE;                                                          \
        return memory[offset / OFFSET] =                                                           \
                   real(0, size, protect, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);                     \
    }
MMAP(mmap)
MMAP(mmap64)

int ioctl(int descriptor, unsigned long asked, ...)
{
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list more;
    va_start(more, asked);
    void *value = va_arg(more, void *);
    va_end(more);
    return is_ours(descriptor) ? answer(descriptor, asked, value) : real(descriptor, asked, value);
}
