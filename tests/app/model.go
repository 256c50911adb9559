package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// model is a stand-in for a language model behind the API of OpenAI. It has the agent run one command and finish when it has seen what that printed.
type model struct {
	address string // as in the settings: the base URL
	server  *http.Server

	mu       sync.Mutex // protects what follows
	requests []string   // bodies
	keys     []string   // what came as Authorization
}

// modelCommand is what the model has the agent run, and modelProof what it prints.
const (
	modelCommand = `echo "proof-$((40+2))" | tee -a /workspace/proof.txt`
	modelProof   = "proof-42"
)

func startModel() (*model, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &model{address: "http://" + listener.Addr().String() + "/v1"}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}
	go func() { _ = m.server.Serve(listener) }() // until it is closed; a failure shows as a failed call
	return m, nil
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request struct {
		Messages []struct {
			Role    string
			Content any
		}
		Tools []any
	}
	if err == nil {
		err = json.Unmarshal(body, &request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	m.requests, m.keys = append(m.requests, string(body)), append(m.keys, r.Header.Get("Authorization"))
	m.mu.Unlock()
	message := map[string]any{"role": "assistant", "content": "A short title"}
	if last := len(request.Messages) - 1; len(request.Tools) > 0 && last >= 0 {
		name, arguments := "execute_bash", map[string]any{"command": modelCommand, "security_risk": "LOW"}
		if request.Messages[last].Role == "tool" && strings.Contains(fmt.Sprint(request.Messages[last].Content), modelProof) {
			name, arguments = "finish", map[string]any{"message": "done", "task_completed": "true"}
		}
		text, err := json.Marshal(arguments)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		message = map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{
			"id": fmt.Sprintf("call-%d", len(request.Messages)), "type": "function", "function": map[string]any{"name": name, "arguments": string(text)},
		}}}
	}
	reason := "stop"
	if message["tool_calls"] != nil {
		reason = "tool_calls"
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{ // who asked has gone, if it fails
		"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
		"choices": []any{map[string]any{"index": 0, "finish_reason": reason, "message": message}},
		"usage":   map[string]any{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
	})
}

// seen are the bodies of the requests so far.
func (m *model) seen() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.requests)
}

// takeKeys returns what came as Authorization since the last call.
func (m *model) takeKeys() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := strings.Join(m.keys, "\n")
	m.keys = nil
	return keys
}

func (m *model) close() error { return m.server.Close() }
