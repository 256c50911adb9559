package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// socket is an open WebSocket.
type socket struct {
	net.Conn
	reader *bufio.Reader
}

// openSocket opens one at an address, such as http://localhost:3000/path, from the page of the same host, by a way to the door.
func openSocket(t *testing.T, by way, address, token string) *socket {
	t.Helper()
	connection, err := by(context.Background())
	require.NoError(t, err)
	t.Cleanup(func() { connection.Close() })
	request, err := http.NewRequest(http.MethodGet, address, nil)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": socketNonce,
		"Origin": request.URL.Scheme + "://" + request.URL.Host, assertion: token,
	} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	require.NoError(t, request.Write(connection))
	s := &socket{connection, bufio.NewReader(connection)}
	response, err := http.ReadResponse(s.reader, request)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	return s
}

// echoSocket takes a WebSocket, and sends back what comes.
func echoSocket(t *testing.T, w http.ResponseWriter, r *http.Request) {
	hash := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(hash[:]))
	w.WriteHeader(http.StatusSwitchingProtocols)
	connection, buffered, err := http.NewResponseController(w).Hijack()
	if !assert.NoError(t, err) {
		return
	}
	defer connection.Close()
	for {
		frame := make([]byte, 6) // two bytes, and the mask
		if _, err := io.ReadFull(buffered, frame); err != nil {
			return // closed
		}
		text := make([]byte, frame[1]&0x7f)
		if _, err := io.ReadFull(buffered, text); err != nil {
			return
		}
		for n := range text {
			text[n] ^= frame[2+n%4]
		}
		if _, err := connection.Write(append([]byte{0x81, byte(len(text))}, text...)); err != nil {
			return
		}
	}
}

// send sends a short text.
func (s *socket) send(t *testing.T, text string) {
	t.Helper()
	require.Less(t, len(text), 126)
	mask := make([]byte, 4)
	_, err := rand.Read(mask)
	require.NoError(t, err)
	frame := append([]byte{0x81, 0x80 | byte(len(text))}, mask...)
	for n := range len(text) {
		frame = append(frame, text[n]^mask[n%4])
	}
	_, err = s.Write(frame)
	require.NoError(t, err)
}

// receive returns the next text.
func (s *socket) receive(t *testing.T) string {
	t.Helper()
	require.NoError(t, s.SetReadDeadline(time.Now().Add(20*time.Second)))
	head := make([]byte, 2)
	_, err := io.ReadFull(s.reader, head)
	require.NoError(t, err)
	length := int(head[1] & 0x7f)
	if length == 126 {
		more := make([]byte, 2)
		_, err := io.ReadFull(s.reader, more)
		require.NoError(t, err)
		length = int(more[0])<<8 | int(more[1])
	}
	text := make([]byte, length)
	_, err = io.ReadFull(s.reader, text)
	require.NoError(t, err)
	return string(text)
}

// says sends a text to an application that sends it back.
func (s *socket) says(t *testing.T, text string) {
	t.Helper()
	s.send(t, text)
	require.Equal(t, text, s.receive(t))
}
