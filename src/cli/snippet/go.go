// Posts a JSON file to the webhook "{{name}}".
// Needs Go 1.16 or newer. Run: go run post.go [FILE]
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

const url = "{{url}}"

func main() {
	log.SetFlags(0)
@secret 	secret := os.Getenv("INRUSH_SECRET")
@secret 	if secret == "" {
@secret 		log.Fatal("INRUSH_SECRET: set it to the secret of the webhook")
@secret 	}
	body := []byte(`{"hello":"world"}`)
	if len(os.Args) > 1 {
		var err error
		if body, err = os.ReadFile(os.Args[1]); err != nil {
			log.Fatal(err)
		}
	}

	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("content-type", "application/json")
@secret 	request.Header.Set("x-bp-secret", secret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()

	fmt.Println(response.StatusCode, response.Header.Get("x-event-id"))
	if response.StatusCode < 200 || response.StatusCode > 299 {
		answer, _ := io.ReadAll(response.Body)
		log.Fatal(string(answer))
	}
}
